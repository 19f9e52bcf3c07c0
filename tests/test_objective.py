"""The objective through whole models: values and gradients against independent computations, and what is trained."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from architectures import ARCHITECTURES, write_encoder
from tiny import sentence
from torch import Tensor
from torch.nn import functional
from transformers import AutoModel, AutoModelForMaskedLM

from xalign.config import LOSSES
from xalign.encoder import Encoder, load_encoder
from xalign.engine.batch import BatchOrder, MicroBatch, mean_weights
from xalign.errors import UsageError
from xalign.losses import sentence_losses
from xalign.model_source import ModelSource
from xalign.objective import AlignmentObjective, active_losses
from xalign.pair_batches import Layout, PairBatches

LAYERS, LAYER, TAU, PAIRS = 4, 2, 0.1, 12
Load = Callable[[str], Encoder]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("models")
    return {name: write_encoder(root / name, name, layers=LAYERS) for name in ARCHITECTURES}


@pytest.fixture
def load(folders: dict[str, Path]) -> Load:
    """A fresh encoder of an architecture, without dropout."""
    return lambda name="xlm-roberta": load_encoder(ModelSource(name, folders[name]), dropout=0.0)


def objective_of(encoder: Encoder, losses: str, **options: Any) -> AlignmentObjective:
    objective = AlignmentObjective(encoder, losses, **{"layer": LAYER, "temperature": TAU, **options})
    objective.train()
    return objective


def batches(encoder: Encoder, losses: str, **options: Any) -> PairBatches:
    """Twelve pairs of deu and eng; the first is empty on both sides, two have the same source."""
    numbers = [0, *range(PAIRS - 2), 3]
    sides = [
        [np.array(encoder.tokenizer(" ".join(sentence(language, n)[0]), add_special_tokens=False)["input_ids"])
         for n in numbers] for language in ("deu", "eng")
    ]  # fmt: skip
    for side in sides:
        side[0] = side[0][:0]  # no word at all
    sides[1][-1] = sides[1][5]
    layout = Layout.of(
        encoder.tokenizer, encoder.special_ids.tolist(), encoder.model.config.model_type,
        encoder.effective_length(32), encoder.effective_length(64),
    )  # fmt: skip
    order = BatchOrder(np.array([len(ids) for ids in sides[0]]), PAIRS, seed=1)
    options = {"word_negatives": 20, "mlm_probability": 0.3} | options
    return PairBatches(*sides, layout, order, losses=losses, seed=1, **options)


def whole_batch(encoder: Encoder, losses: str, **options: Any) -> MicroBatch:
    [micro] = batches(encoder, losses, **options).micro_batches(0)
    return micro


def means(objective: AlignmentObjective, micro: MicroBatch) -> dict[str, Tensor]:
    return objective(micro.tensors, mean_weights(micro.counts))


def gradients(module: torch.nn.Module) -> dict[str, Tensor]:
    """Gradients by parameter, and nothing left behind."""
    found = {name: p.grad for name, p in module.named_parameters() if p.grad is not None}
    module.zero_grad()
    return found


def assert_same_gradients(ours: dict[str, Tensor], theirs: dict[str, Tensor], **tolerance: float) -> None:
    for name in ours.keys() | theirs.keys():
        first, second = (side.get(name) for side in (ours, theirs))
        known = first if first is not None else second
        assert known is not None
        zero = torch.zeros_like(known)
        torch.testing.assert_close(
            first if first is not None else zero, second if second is not None else zero,
            **{"rtol": 1e-3, "atol": 1e-6, **tolerance}, msg=lambda text, name=name: f"{name}: {text}",
        )  # fmt: skip


@contextmanager
def unfrozen(module: torch.nn.Module) -> Iterator[None]:
    """Every parameter wants a gradient, whatever the objective froze."""
    before = {name: p.requires_grad for name, p in module.named_parameters()}
    module.requires_grad_(True)
    yield
    for name, parameter in module.named_parameters():
        parameter.requires_grad_(before[name])


def test_a_configuration_names_its_losses() -> None:
    assert [active_losses(name) for name in LOSSES] == ["M", "W", "WM", "S", "SM", "SW", "SWM"]


# Values and gradients


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_masked_lm_loss_equals_transformers_own_in_value_and_gradient(load: Load, name: str) -> None:
    encoder = load(name)
    objective = objective_of(encoder, "M")
    micro = whole_batch(encoder, "M")
    ids, predict = micro.tensors["masked"], micro.tensors["predict"]
    ours = means(objective, micro)["M"]
    ours.backward()
    mine = gradients(encoder.model)

    labels = torch.full_like(ids, -100)
    labels.view(-1)[predict] = micro.tensors["labels"]
    theirs = encoder.model(input_ids=ids, attention_mask=ids != encoder.tokenizer.pad_token_id, labels=labels).loss
    theirs.backward()
    torch.testing.assert_close(ours, theirs)
    assert len(mine) > 10 * LAYERS
    assert_same_gradients(mine, gradients(encoder.model))


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_logits_are_computed_at_masked_positions_only(load: Load, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = load(name)
    objective = objective_of(encoder, "M")
    micro = whole_batch(encoder, "M")
    rows: list[int] = []
    linear, entries = functional.linear, encoder.model.config.vocab_size

    def counting(states: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        if len(weight) == entries:
            rows.append(states.numel() // states.shape[-1])
        return linear(states, weight, bias)

    monkeypatch.setattr(functional, "linear", counting)
    means(objective, micro)
    assert rows == [len(micro.tensors["predict"])] and rows[0] < micro.tensors["masked"].numel() / 2


def separate_vectors(encoder: Encoder, micro: MicroBatch, layer: int) -> tuple[Tensor, Tensor]:
    """Each sentence by itself through the whole model: mean of its content tokens at hidden_states[layer]."""
    vectors = []
    special = set(encoder.special_ids.tolist())
    for row in micro.tensors["separate"]:
        ids = row[row != encoder.tokenizer.pad_token_id]
        states = encoder.base(input_ids=ids[None], output_hidden_states=True).hidden_states[layer][0]
        kept = [state for state, token in zip(states, ids.tolist(), strict=True) if token not in special]
        vectors.append(torch.stack(kept).mean(dim=0) if kept else torch.zeros(encoder.width))
    source, target = torch.stack(vectors).chunk(2)
    return source, target


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_sentence_loss_of_the_fused_cut_pass_equals_sentences_one_by_one(load: Load, name: str) -> None:
    encoder = load(name)
    objective = objective_of(encoder, "S")
    micro = whole_batch(encoder, "S")
    ours = means(objective, micro)["S"]
    ours.backward()
    mine = gradients(encoder.model)
    theirs = sentence_losses(
        *separate_vectors(encoder, micro, LAYER), temperature=TAU, texts=micro.tensors["texts"]
    ).mean()
    theirs.backward()
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
    assert_same_gradients(mine, gradients(encoder.model), atol=1e-5)


def naive_word_loss(encoder: Encoder, micro: MicroBatch, layer: int) -> Tensor:
    """L_W of a batch, pair by pair and word by word, through whole forward passes."""
    table = encoder.model.get_input_embeddings().weight
    special = set(encoder.special_ids.tolist())
    drawn = micro.tensors["negatives"].tolist()
    losses = []
    for row in micro.tensors["pair"]:
        ids = row[row != encoder.tokenizer.pad_token_id]
        content = [i for i, token in enumerate(ids.tolist()) if token not in special]
        if not content:
            continue
        states = encoder.base(input_ids=ids[None], output_hidden_states=True).hidden_states[layer][0]
        query = states[content].mean(dim=0)
        bag = sorted({int(ids[i]) for i in content})

        def score(token: int, query: Tensor = query) -> Tensor:
            return torch.exp(functional.cosine_similarity(query, table[token], dim=0) / TAU)

        against = torch.stack([score(v) for v in drawn if v not in bag]).sum()
        losses.append(torch.stack([-torch.log(score(w) / (score(w) + against)) for w in bag]).mean())
    return torch.stack(losses).mean()


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_word_loss_equals_a_naive_loop_through_the_whole_model(load: Load, name: str) -> None:
    encoder = load(name)
    objective = objective_of(encoder, "W")
    micro = whole_batch(encoder, "W")
    assert micro.counts.tolist() == [PAIRS - 1]  # one pair has no word
    ours = means(objective, micro)["W"]
    ours.backward()
    mine = gradients(encoder.model)
    theirs = naive_word_loss(encoder, micro, LAYER)
    theirs.backward()
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
    assert_same_gradients(mine, gradients(encoder.model), atol=1e-5)


def test_a_detached_lookup_leaves_the_table_to_the_query_alone(load: Load) -> None:
    found = {}
    for detach in (True, False):
        encoder = load()
        objective = objective_of(encoder, "W", detach_lookup=detach)
        micro = whole_batch(encoder, "W")
        means(objective, micro)["W"].backward()
        gradient = encoder.model.get_input_embeddings().weight.grad
        only_drawn = set(micro.tensors["negatives"].tolist()) - set(micro.tensors["pair"].flatten().tolist())
        found[detach] = gradient[sorted(only_drawn)].abs().sum().item()
    assert found[True] == 0 < found[False]


def test_losses_are_summed_as_they_are_and_share_no_state(load: Load) -> None:
    """S, W and M of one configuration have the values that they have alone."""
    encoder = load()
    micro = whole_batch(encoder, "SWM")
    together = means(objective_of(encoder, "SWM"), micro)
    assert list(together) == ["S", "W", "M"]
    for index, name in enumerate("SWM"):
        alone = objective_of(load(), name)(micro.tensors, mean_weights(micro.counts)[index : index + 1])
        torch.testing.assert_close(together[name], alone[name])


def test_the_layer_and_the_pooling_are_those_asked_for(load: Load) -> None:
    encoder = load()
    micro = whole_batch(encoder, "S")
    for layer in range(1, LAYERS + 1):
        value = means(objective_of(load(), "S", layer=layer), micro)["S"]
        vectors = separate_vectors(encoder, micro, layer)
        expected = sentence_losses(*vectors, temperature=TAU, texts=micro.tensors["texts"]).mean()
        torch.testing.assert_close(value, expected, rtol=1e-4, atol=1e-5)
    ids = micro.tensors["separate"]
    first = objective_of(load(), "S", pooling="cls").embed(ids)
    states = encoder.base(
        input_ids=ids, attention_mask=ids != encoder.tokenizer.pad_token_id, output_hidden_states=True
    ).hidden_states[LAYER]
    torch.testing.assert_close(first, states[:, 0])


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_shared_forward_reads_the_sentence_vectors_from_the_masked_pass(load: Load, name: str) -> None:
    encoder = load(name)
    shared = objective_of(encoder, "SM", share_forward=True)
    micro = whole_batch(encoder, "SM", share_forward=True)
    found = means(shared, micro)
    plain = objective_of(load(name), "SM")
    tensors = micro.tensors | {"separate": micro.tensors["masked"]}
    expected = plain(tensors, mean_weights(micro.counts))
    for loss in "SM":
        torch.testing.assert_close(found[loss], expected[loss], rtol=1e-5, atol=1e-6)


# Cost


@pytest.mark.parametrize(
    ("losses", "shared", "passes"),
    [("S", False, [1] * 2), ("W", False, [1] * 2), ("SW", False, [2] * 2), ("M", False, [1] * 4),
     ("SWM", False, [3, 3, 1, 1]), ("SM", True, [1] * 4), ("SWM", True, [2, 2, 1, 1])],
)  # fmt: skip
def test_each_view_is_encoded_once_and_no_further_than_needed(
    load: Load, losses: str, shared: bool, passes: list[int]
) -> None:
    encoder = load()
    objective = objective_of(encoder, losses, share_forward=shared)
    micro = whole_batch(encoder, losses, share_forward=shared)
    calls = [0] * LAYERS

    def count(index: int) -> None:
        calls[index] += 1

    for index, block in enumerate(encoder.base.encoder.layer):
        block.register_forward_hook(lambda *_, index=index: count(index))
    means(objective, micro)
    assert calls == passes + [0] * (LAYERS - len(passes))


# What is trained


@pytest.mark.parametrize("name", ARCHITECTURES)
@pytest.mark.parametrize("configuration", LOSSES)
def test_exactly_the_parameters_that_the_losses_reach_are_trained(load: Load, name: str, configuration: str) -> None:
    encoder = load(name)
    losses = active_losses(configuration)
    objective = objective_of(encoder, losses)
    trained = {n for n, p in objective.named_parameters() if p.requires_grad}
    with unfrozen(objective):
        sum(means(objective, whole_batch(encoder, losses)).values(), torch.zeros(())).backward()
        reached = {n for n, p in objective.named_parameters() if p.grad is not None and p.grad.abs().max() > 0}
    assert trained == reached


@pytest.mark.parametrize("configuration", LOSSES)
def test_every_trained_parameter_gets_a_gradient_even_from_a_batch_without_words(
    load: Load, configuration: str
) -> None:
    """DDP waits for each of them: a rank whose pairs are empty must not leave the others waiting."""
    encoder = load()
    losses = active_losses(configuration)
    objective = objective_of(encoder, losses)
    made = batches(encoder, losses)
    made.source = made.target = [np.array([], dtype=np.int32)] * PAIRS
    [micro] = made.micro_batches(0)
    sum(means(objective, micro).values(), torch.zeros(())).backward()
    for name, parameter in objective.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None and parameter.grad.isfinite().all(), name


# Cutting a batch


@pytest.mark.parametrize("losses", ["W", "M", "WM"])
@pytest.mark.parametrize(("accumulation", "processes"), [(2, 1), (1, 2), (3, 2)])
def test_words_and_masked_tokens_have_one_mean_however_a_batch_is_cut(
    load: Load, losses: str, accumulation: int, processes: int
) -> None:
    encoder = load()
    objective = objective_of(encoder, losses)
    whole = whole_batch(encoder, losses)
    expected = means(objective, whole)
    sum(expected.values(), torch.zeros(())).backward()
    expected_gradients = gradients(encoder.model)

    parts = [
        micro
        for rank in range(processes)
        for micro in batches(encoder, losses, accumulation=accumulation, rank=rank, processes=processes).micro_batches(
            0
        )
    ]
    assert len(parts) == accumulation * processes
    # What the loop does: counts summed over everything, and the wrappers' average undone by the scale.
    weights = mean_weights(torch.stack([p.counts for p in parts]).sum(dim=0), scale=accumulation * processes)
    found = {name: torch.zeros(()) for name in losses}
    for part in parts:
        for name, value in objective(part.tensors, weights).items():
            (value / (accumulation * processes)).backward(retain_graph=True)
            found[name] = found[name] + value.detach() / (accumulation * processes)
    for name in losses:
        torch.testing.assert_close(found[name], expected[name].detach(), rtol=1e-5, atol=1e-6)
    assert_same_gradients(gradients(encoder.model), expected_gradients)


CACHED = [("S", False), ("SWM", False), ("SM", True)]


@pytest.mark.parametrize(("losses", "share_forward"), CACHED)
@pytest.mark.parametrize("accumulation", [1, 3, 6])
def test_with_grad_cache_the_contrast_is_the_whole_batch_s_however_it_is_cut(
    load: Load, losses: str, share_forward: bool, accumulation: int
) -> None:
    encoder = load()
    plain = objective_of(encoder, losses, share_forward=share_forward)
    whole = whole_batch(encoder, losses, share_forward=share_forward)
    expected = means(plain, whole)
    sum(expected.values(), torch.zeros(())).backward()
    expected_gradients = gradients(encoder.model)

    cached = objective_of(encoder, losses, share_forward=share_forward, grad_cache=True)
    parts = batches(encoder, losses, share_forward=share_forward, accumulation=accumulation).micro_batches(0)
    weights = mean_weights(torch.stack([part.counts for part in parts]).sum(dim=0))
    cached.cache((part.tensors for part in parts), weights)
    found = dict.fromkeys(losses, torch.zeros(()))
    for part in parts:
        values = cached(part.tensors, weights)
        sum(values.values(), torch.zeros(())).backward()
        found = {name: found[name] + value.detach() for name, value in values.items()}
    for name in losses:
        torch.testing.assert_close(found[name], expected[name].detach(), rtol=1e-5, atol=1e-6)
    assert_same_gradients(gradients(encoder.model), expected_gradients)


@pytest.mark.parametrize("length_groups", [1, 3])
@pytest.mark.parametrize(("losses", "share_forward"), CACHED)
def test_grad_cache_sees_the_dropout_of_the_pass_that_it_prepares(
    folders: dict[str, Path], losses: str, share_forward: bool, length_groups: int
) -> None:
    encoder = load_encoder(ModelSource("dropping", folders["xlm-roberta"]), dropout=0.3)
    micro = whole_batch(encoder, losses, share_forward=share_forward, length_groups=length_groups)
    weights = mean_weights(micro.counts)
    found = []
    for grad_cache in (False, True):
        objective = objective_of(encoder, losses, share_forward=share_forward, grad_cache=grad_cache)
        if grad_cache:
            torch.manual_seed(7)
            objective.cache([micro.tensors], weights)
        torch.manual_seed(7)
        values = objective(micro.tensors, weights)
        sum(values.values(), torch.zeros(())).backward()
        found.append((values["S"].item(), gradients(encoder.model)))
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-5)
    assert_same_gradients(found[1][1], found[0][1])


# Refusals


@pytest.mark.parametrize("name", ARCHITECTURES)
@pytest.mark.parametrize(
    ("losses", "options"),
    [("S", {}), ("W", {}), ("M", {}), ("SWM", {}), ("SM", {"share_forward": True}), ("SM", {"mlm_input": "tlm"})],
)
def test_encoded_in_groups_by_length_a_batch_has_the_same_losses_and_gradients(
    load: Load, name: str, losses: str, options: dict[str, Any]
) -> None:
    found = {}
    shared = {key: value for key, value in options.items() if key == "share_forward"}
    for groups in (1, 3):
        encoder = load(name)
        encoder.model.double()
        objective = objective_of(encoder, losses, **shared)
        micro = whole_batch(encoder, losses, length_groups=groups, **options)
        values = means(objective, micro)
        sum(values.values(), start=torch.zeros(())).backward()
        found[groups] = values, gradients(encoder.model), micro
    # S is computed in single precision whatever the encoder's.
    torch.testing.assert_close(found[3][0], found[1][0], rtol=1e-6, atol=1e-8)
    assert_same_gradients(found[3][1], found[1][1], rtol=1e-4, atol=1e-7)
    assert found[3][2].tokens < found[1][2].tokens and found[3][2].counts.equal(found[1][2].counts)
    assert objective.flops(found[3][2].tensors) == objective.flops(found[1][2].tensors)


def test_masked_lm_without_a_head_is_refused(folders: dict[str, Path], tmp_path: Path) -> None:
    AutoModel.from_pretrained(folders["bert"]).save_pretrained(tmp_path)
    for path in folders["bert"].glob("*token*"):
        shutil.copy(path, tmp_path)
    encoder = load_encoder(ModelSource("bare", tmp_path))
    for configuration in LOSSES:
        losses = active_losses(configuration)
        if "M" in losses:
            with pytest.raises(UsageError, match="no masked-LM head, which M needs; choose a loss with M0"):
                objective_of(encoder, losses)
        else:
            means(objective_of(encoder, losses), whole_batch(encoder, losses))


def test_an_architecture_whose_head_is_unknown_is_refused_before_training(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    encoder = electra(folders, tmp_path)
    with pytest.raises(UsageError, match="masked-LM head"):
        objective_of(encoder, "M")
    means(objective_of(encoder, "S"), whole_batch(encoder, "S"))


def test_words_are_refused_where_the_table_has_another_width(folders: dict[str, Path], tmp_path: Path) -> None:
    """The cosine of a hidden state and an embedding needs one space."""
    with pytest.raises(UsageError, match="W "):
        objective_of(electra(folders, tmp_path), "W")


def electra(folders: dict[str, Path], folder: Path) -> Encoder:
    """An ELECTRA generator: its embeddings are narrower than its hidden states."""
    from transformers import ElectraConfig

    for path in folders["bert"].glob("*token*"):
        shutil.copy(path, folder)
    entries = json.loads((folders["bert"] / "config.json").read_text())["vocab_size"]
    config = ElectraConfig(
        vocab_size=entries, embedding_size=8, hidden_size=16, num_hidden_layers=LAYERS, num_attention_heads=2,
        intermediate_size=32, max_position_embeddings=64, initializer_range=0.2,
    )  # fmt: skip
    AutoModelForMaskedLM.from_config(config).save_pretrained(folder)
    return load_encoder(ModelSource("electra", folder))
