"""Batches hold the sentences that the order says, with each unit's label at its own place."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tiny import sentence, tiny_encoder

from xalign.data.treebank import TaggedSentence
from xalign.encoder import Encoder, load_encoder
from xalign.engine.batch import BatchOrder
from xalign.model_source import find_model
from xalign.pair_batches import Layout
from xalign.tasks.batches import IGNORED, TaskBatches
from xalign.tasks.examples import Examples, capped, ranges
from xalign.tasks.objective import Reader, TaskObjective, new_head
from xalign.tasks.pos import PosTask

SENTENCES = [TaggedSentence(str(n), *sentence("kaz", n)) for n in range(11)]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    return load_encoder(find_model(str(tiny_encoder(tmp_path_factory.mktemp("encoder"), layers=1, width=8))))


@pytest.fixture(scope="module")
def examples(encoder: Encoder) -> Examples:
    layout = Layout.of(encoder.tokenizer, encoder.special_ids.tolist(), "xlm-roberta", 7, 7)
    return PosTask().examples(SENTENCES, encoder, layout)


def batches(examples: Examples, features: torch.Tensor | None = None, **how: int) -> TaskBatches:
    order = BatchOrder(examples.lengths, 4, seed=1, bucket_batches=2, keep_last=True)
    return TaskBatches(examples, order, padding=1, position="first", features=features, **how)


def test_an_epoch_has_every_labelled_word_once_at_its_own_token(examples: Examples) -> None:
    seen: list[tuple[int, int]] = []
    for step in range(3):
        (batch,) = batches(examples).micro_batches(step)
        tensors = batch.tensors
        tokens = tensors["input_ids"][tensors["rows"], tensors["places"]].tolist()
        seen += zip(tokens, tensors["labels"].tolist(), strict=True)
        assert batch.counts.tolist() == [len(tensors["labels"])] and batch.items == len(batch.examples)
    wanted = [
        (int(examples.inputs[window][place]), int(label))
        for window, place, label in zip(examples.unit_inputs, examples.positions["first"], examples.labels, strict=True)
    ]
    assert sorted(seen) == sorted(wanted)


def test_features_replace_tokens_and_nothing_else(examples: Examples) -> None:
    features = torch.arange(len(examples.labels), dtype=torch.float32)[:, None]
    for step in range(3):
        (plain,), (stored,) = (
            batches(examples).micro_batches(step),
            batches(examples, features).micro_batches(step),
        )
        assert stored.examples == plain.examples
        assert torch.equal(stored.tensors["labels"], plain.tensors["labels"])
        units = stored.tensors["features"][:, 0].long().numpy()
        assert (examples.labels[units] == plain.tensors["labels"].numpy()).all()


@pytest.mark.parametrize("step", [0, 1, 2])
def test_processes_share_a_batch_and_an_empty_share_teaches_nothing(
    encoder: Encoder, examples: Examples, step: int
) -> None:
    (whole,) = batches(examples).micro_batches(step)
    parts = [batches(examples, rank=rank, processes=4).micro_batches(step)[0] for rank in range(4)]
    assert sorted(example for part in parts for example in part.examples) == sorted(whole.examples)
    assert sum(part.counts for part in parts) == whole.counts
    objective = TaskObjective(new_head(8, 17, 1), Reader(encoder, frozen=True), dropout=0.0)
    weights = torch.ones(1)
    total = sum(objective(part.to("cpu"), weights)["task"] for part in parts)
    assert torch.allclose(total, objective(whole.to("cpu"), weights)["task"], rtol=1e-4)
    if len(whole.examples) < 4:
        empty = [part for part in parts if not part.examples]
        assert empty and all(part.tensors["labels"].tolist() == [IGNORED] for part in empty)
        assert all(len(part.tensors["input_ids"]) == 1 for part in empty)


def test_words_without_pieces_are_not_learned_from(encoder: Encoder) -> None:
    layout = Layout.of(encoder.tokenizer, encoder.special_ids.tolist(), "xlm-roberta", 32, 32)
    found = PosTask().examples([TaggedSentence("s", ["</s>", "bemod"], ["X", "NOUN"])], encoder, layout)
    order = BatchOrder(found.lengths, 1, seed=1, keep_last=True)
    (batch,) = TaskBatches(found, order, padding=1, position="first").micro_batches(0)
    assert batch.counts.tolist() == [1] and batch.tensors["labels"].tolist() == [found.labels[1]]


def test_a_cap_takes_the_same_sentences_in_every_language() -> None:
    german = [TaggedSentence(str(n), *sentence("deu", n)) for n in range(11)]
    kept = [part.id for part in capped(SENTENCES, 4)]
    assert kept == [part.id for part in capped(german, 4)] and len(kept) == 4
    assert kept == sorted(kept, key=int) and set(kept) < {part.id for part in capped(SENTENCES, 6)}
    assert capped(SENTENCES, None) == SENTENCES


def test_ranges_are_concatenated() -> None:
    starts, lengths = np.array([5, 0, 9]), np.array([2, 0, 3])
    assert ranges(starts, lengths).tolist() == [5, 6, 9, 10, 11]
    assert ranges(starts[:0], lengths[:0]).tolist() == []
