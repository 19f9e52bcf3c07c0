"""Realignment's batches and objectives: which pieces make a word, what is frozen, and what a task shares."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import sentence, tiny_encoder

from xalign.data.words import SplitSentences, split_at_blanks
from xalign.encoder import Encoder, load_encoder
from xalign.engine.batch import BatchOrder, mean_weights
from xalign.engine.training import Objective
from xalign.frozen_features import Encoding
from xalign.methods.linked_words import LinkedPairs
from xalign.methods.realignment import BesideTask, RealignmentObjective, frozen_half, token_ids
from xalign.methods.realignment_batches import BatchesBeside, RealignmentBatches
from xalign.methods.realignment_loss import NO_WORD, realignment_losses
from xalign.methods.word_pieces import WordPieces, word_vectors
from xalign.methods.word_retrieval import measure, nearest_accuracy
from xalign.model_source import ModelSource
from xalign.used_vocabulary import keep_used_rows

CPU = Encoding(4, torch.device("cpu"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_encoder(tmp_path_factory.mktemp("model") / "encoder", layers=3)


def load(folder: Path) -> Encoder:
    return load_encoder(ModelSource("tiny", folder), dropout=0.0)


def split(*texts: str) -> SplitSentences:
    return SplitSentences(texts, [split_at_blanks(text) for text in texts])


def pairs(count: int = 8, languages: tuple[str, str] = ("deu", "kaz")) -> LinkedPairs:
    """Word i of a sentence is word i of its translation."""
    first, second = (split(*(" ".join(sentence(code, i)[0]) for i in range(count))) for code in languages)
    return LinkedPairs(first, second, [[(i, i) for i in range(len(spans))] for spans in first.spans])


def batches(encoder: Encoder, linked: LinkedPairs, size: int = 4, **options: int) -> RealignmentBatches:
    order = BatchOrder(np.ones(len(linked)), size, seed=1)
    return RealignmentBatches(linked, WordPieces(encoder, 32), order, **options)


def objective(encoder: Encoder, *, layer: int = 3, freeze: str = "none") -> RealignmentObjective:
    return RealignmentObjective(encoder, layer=layer, temperature=0.1, negatives="strong", freeze=freeze)


def gradients(objective: Objective, batch: dict[str, torch.Tensor], *counts: float) -> dict[str, torch.Tensor]:
    objective.zero_grad()
    sum(objective(batch, mean_weights(torch.tensor(counts))).values()).backward()  # type: ignore[union-attr]
    return {name: p.grad.clone() for name, p in objective.named_parameters() if p.grad is not None}


# Words and their pieces


def test_a_word_is_the_sum_of_its_own_pieces(folder: Path) -> None:
    encoder = load(folder)
    known = sentence("eng", 3)[0]
    text = f"{known[0]} bnd, {known[1]}"  # "bnd" falls into letters, and the comma belongs to no word
    spans = [(0, len(known[0])), (text.index("bnd"), text.index("bnd") + 3), (text.rindex(" ") + 1, len(text))]
    [found] = WordPieces(encoder, 32).find([text], [spans])
    tokens = encoder.tokenizer.convert_ids_to_tokens(found.ids)
    assert [[tokens[i] for i in places] for places in found.places] == [
        [f"▁{known[0]}"], ["b", "n", "d"], [f"▁{known[1]}"],
    ]  # fmt: skip
    [vectors] = word_vectors(encoder, [found], [0, 3], CPU, padding=1)
    states = encoder.base(torch.from_numpy(found.ids)[None], output_hidden_states=True).hidden_states
    for row, layer in enumerate((0, 3)):
        expected = torch.stack([states[layer][0, places].sum(dim=0) for places in found.places])
        torch.testing.assert_close(vectors[row], expected.detach(), rtol=1e-4, atol=1e-5)


def test_a_word_behind_the_length_has_no_pieces_and_its_link_does_not_count(folder: Path) -> None:
    encoder = load(folder)
    linked = pairs(4)
    order = BatchOrder(np.ones(4), 4, seed=1)
    [short] = RealignmentBatches(linked, WordPieces(encoder, 4), order).micro_batches(0)
    [whole] = batches(encoder, linked).micro_batches(0)
    assert short.tensors["ids"].shape == (8, 4)
    assert 0 < int(short.counts) < int(whole.counts) == 2 * linked.words
    cut = (short.tensors["words"] == NO_WORD).any(dim=0)
    assert torch.equal(cut, (short.tensors["words"] == NO_WORD).all(dim=0))  # both of its words


# The objective


def test_the_objective_is_the_loss_of_the_words_in_context(folder: Path) -> None:
    encoder = load(folder)
    linked = pairs(4)
    [batch] = batches(encoder, linked).micro_batches(0)
    found = objective(encoder)(batch.tensors, mean_weights(batch.counts))["realign"]
    chosen = linked.take(batch.examples)
    sides = []
    for texts, spans in ((chosen.source.texts, chosen.source.spans), (chosen.target.texts, chosen.target.spans)):
        vectors = word_vectors(encoder, WordPieces(encoder, 32).find(texts, spans), [3], CPU, padding=1)
        sides.append(torch.cat(vectors, dim=1)[0].double())
    numbers = torch.arange(len(sides[0])).expand(2, -1)
    expected = realignment_losses(*sides, numbers, temperature=0.1).mean()
    assert found.item() == pytest.approx(float(expected), rel=1e-4)


@pytest.mark.parametrize(("half", "learns"), [("none", "012"), ("lower", "12"), ("upper", "0")])
def test_a_frozen_half_gets_no_gradient_and_the_other_the_same_as_before(folder: Path, half: str, learns: str) -> None:
    encoder = load(folder)
    [batch] = batches(encoder, pairs()).micro_batches(0)
    every = gradients(objective(encoder), batch.tensors, float(batch.counts))
    found = gradients(objective(encoder, freeze=half), batch.tensors, float(batch.counts))
    layers = {name.split("layer.")[1][0] for name in found if "layer." in name}
    assert layers == set(learns) and any("embeddings" in name for name in found) == (half != "lower")
    for name, gradient in found.items():
        torch.testing.assert_close(gradient, every[name])


def test_alone_realignment_leaves_its_frozen_half_out_of_training(folder: Path) -> None:
    encoder = load(folder)
    alone = objective(encoder, layer=2, freeze="lower")
    alone.freeze(encoder)
    trained = {name.split("layer.")[1][0] for name, p in encoder.base.named_parameters() if p.requires_grad}
    assert trained == {"1"}  # layer 0 is the lower half of three, and layer 2 lies above the loss
    names = {name for name, _ in encoder.base.named_parameters()}
    assert frozen_half(encoder.base, "lower") | frozen_half(encoder.base, "upper") == {
        name for name in names if "pooler" not in name
    }


def test_processes_see_the_same_rows_and_share_the_batch(folder: Path) -> None:
    encoder = load(folder)
    linked = pairs(8)
    [whole] = batches(encoder, linked).micro_batches(0)
    parts = [batches(encoder, linked, rank=rank, processes=2).micro_batches(0)[0] for rank in (0, 1)]
    assert parts[0].tensors["words"].shape == parts[1].tensors["words"].shape
    assert sum(part.counts for part in parts) == whole.counts
    present = [part.tensors["words"][part.tensors["words"] != NO_WORD] for part in parts]
    assert sorted(torch.cat(present).tolist()) == sorted(whole.tensors["words"].flatten().tolist())


def test_a_batch_depends_on_seed_and_step_alone(folder: Path) -> None:
    encoder = load(folder)
    first, second = batches(encoder, pairs()), batches(encoder, pairs())
    first.micro_batches(0)
    assert torch.equal(first.micro_batches(5)[0].tensors["ids"], second.micro_batches(5)[0].tensors["ids"])


class Square(Objective):
    """A stand-in for a task: the sum of the squares of one layer's weights."""

    names = ("task",)

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.model = encoder.base

    def forward(self, batch: dict[str, torch.Tensor], weights: torch.Tensor) -> dict[str, torch.Tensor]:
        assert set(batch) == {"mine"}
        return {"task": self.model.encoder.layer[0].output.dense.weight.square().sum() * weights[0]}


def test_beside_a_task_both_gradients_add_up_and_freezing_spares_the_task(folder: Path) -> None:
    encoder = load(folder)
    task, realignment = Square(encoder), objective(encoder, freeze="lower")
    [batch] = batches(encoder, pairs()).micro_batches(0)

    class Mine:
        def micro_batches(self, step: int) -> list[object]:
            from xalign.engine.batch import MicroBatch

            return [MicroBatch({"mine": torch.ones(1)}, torch.ones(1, dtype=torch.float64), [0], 1, 1)]

    [both] = BatchesBeside(Mine(), batches(encoder, pairs())).micro_batches(0)  # type: ignore[arg-type]
    assert both.counts.tolist() == [1.0, float(batch.counts)] and both.tokens == 1 + batch.tokens
    found = gradients(BesideTask(task, realignment, 0.1), both.tensors, *both.counts.tolist())
    own = gradients(task, {"mine": torch.ones(1)}, 1.0)
    beside = gradients(realignment, batch.tensors, float(batch.counts))
    lower = "task.model.encoder.layer.0.output.dense.weight"
    torch.testing.assert_close(found[lower], own[lower.removeprefix("task.")])
    upper = "task.model.encoder.layer.2.output.dense.weight"
    torch.testing.assert_close(found[upper], 0.1 * beside[upper.replace("task.model", "states.base")])


def test_the_cut_vocabulary_changes_no_loss(folder: Path) -> None:
    linked = pairs(4)
    values = []
    for cut in (False, True):
        encoder = load(folder)
        if cut:
            keep_used_rows(encoder, token_ids(linked, encoder.tokenizer))
        [batch] = batches(encoder, linked).micro_batches(0)
        values.append(float(objective(encoder, freeze="lower")(batch.tensors, mean_weights(batch.counts))["realign"]))
    assert values[0] == pytest.approx(values[1], rel=1e-6)


# The metric


def test_nearest_accuracy_equals_a_naive_count() -> None:
    draw = torch.Generator().manual_seed(0)
    target = torch.randn(40, 6, generator=draw)
    source = target + 1.2 * torch.randn(40, 6, generator=draw)
    weak = strong = 0
    cosine = torch.nn.functional.cosine_similarity
    for i in range(40):
        across = [float(cosine(source[i], target[j], dim=0)) for j in range(40)]
        within = [float(cosine(source[i], source[j], dim=0)) for j in range(40) if j != i]
        weak += across[i] == max(across)
        strong += across[i] == max(across + within)
    assert nearest_accuracy(source, target) == (weak / 40, strong / 40) and 0 < strong < weak < 40
    source[0] = 0  # a word that was cut off is not found
    assert nearest_accuracy(source, source)[0] == 39 / 40


def test_equal_sentences_are_perfectly_aligned_at_every_layer(folder: Path) -> None:
    linked = pairs(1, ("eng", "eng"))
    found = measure(load(folder), linked, CPU, max_length=32)
    assert [(each.layer, each.forward) for each in found] == [(n, d) for n in range(4) for d in (True, False)]
    assert all(each.accuracy == 1 for each in found)
