"""Gradients of blocks: those of plain autograd in float64, in every group of parameters, and never carried over."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import sentence, tiny_encoder
from torch import Tensor, nn
from torch.nn import functional
from transformers import AutoModelForMaskedLM

from xalign.analysis.alignment_gradients import AlignmentBlocks, alignment_objective
from xalign.analysis.block_gradients import BlockGradients, BlockLoss, block_loss, collect, most_rows, total
from xalign.analysis.data_blocks import BlockOrder
from xalign.analysis.gradient_blocks import REST, TABLE, ParameterGroups
from xalign.analysis.gradient_storage import GradientRows
from xalign.analysis.gradient_views import Products
from xalign.analysis.task_gradients import TaskBlocks
from xalign.config import AlignConfig
from xalign.data.parallel import Pairs
from xalign.data.treebank import TaggedSentence
from xalign.encoder import Encoder, load_encoder
from xalign.errors import UsageError, XalignError
from xalign.model_source import ModelSource
from xalign.pair_batches import Layout
from xalign.tasks import make_task
from xalign.tasks.finetuned import Head
from xalign.tasks.objective import Reader

BLOCKS, BATCHES, PER_BATCH, LAYER = 3, 2, 4, 2


@pytest.fixture
def encoder(tmp_path: Path) -> Encoder:
    folder = tiny_encoder(tmp_path / "encoder", layers=3, width=8)
    return load_encoder(ModelSource("tiny", folder), dropout=0.0)


def alignment(encoder: Encoder, loss: str, **options: object) -> AlignmentBlocks:
    common = {"word_negatives": 20, "length_groups": 1} | options  # one table, for the naive loops below
    config = AlignConfig(pair="de-en", loss=loss, output="", **common)  # type: ignore[arg-type]
    texts = [[" ".join(sentence(language, number)[0]) for number in range(40)] for language in ("deu", "eng")]
    objective = alignment_objective(encoder, config)
    return AlignmentBlocks(
        objective, encoder, Pairs(*texts), config, blocks=BLOCKS, batches=BATCHES, pairs_per_batch=PER_BATCH, seed=0
    )


def tagging(encoder: Encoder) -> TaskBlocks:
    tagged = [TaggedSentence(f"s{i}", *map(tuple, sentence("eng", i))) for i in range(30)]  # type: ignore[arg-type]
    task = make_task("pos", label_on="first", pooling="mean")
    layout = Layout.of(encoder.tokenizer, encoder.special_ids.tolist(), "xlm-roberta", 60, 60)
    draw = torch.Generator().manual_seed(1)
    heads = [
        Head(torch.randn(len(task.labels), encoder.width, generator=draw), torch.randn(len(task.labels)), {})
        for _ in range(3)
    ]
    return TaskBlocks(
        "pos", Reader(encoder, frozen=False), heads, task.examples(tagged, encoder, layout), "first",  # type: ignore[arg-type]
        blocks=BLOCKS, per_block=8, batch_size=PER_BATCH, seed=0,
    )  # fmt: skip


def measure(encoder: Encoder, *losses: BlockLoss) -> tuple[Products, ParameterGroups, dict[str, BlockGradients]]:
    groups = ParameterGroups(encoder)
    rows = GradientRows(
        encoder.source.directory.parent / "rows.npy", most_rows(losses, groups), groups, sketch=None, seed=0
    )
    found: dict[str, BlockGradients] = {}
    for loss in losses:
        found |= collect(loss, groups, rows)
    products = Products.of_gradients(list(found.values()), groups, rows)
    rows.close()
    return products, groups, found


class Naive:
    """The same model in float64 with a tied decoder, and plain autograd."""

    def __init__(self, encoder: Encoder) -> None:
        self.model = AutoModelForMaskedLM.from_pretrained(encoder.source.directory, dtype=torch.float64).eval()
        self.special = encoder.special_ids

    def states(self, ids: Tensor) -> tuple[Tensor, ...]:
        hidden: tuple[Tensor, ...] = self.model.roberta(
            input_ids=ids, attention_mask=(ids != 1).long(), output_hidden_states=True
        ).hidden_states
        return hidden

    def pooled(self, ids: Tensor) -> Tensor:
        content = (~torch.isin(ids, self.special)).double()[:, :, None]
        return (self.states(ids)[LAYER] * content).sum(dim=1) / content.sum(dim=1)

    def sentence(self, batch: dict[str, Tensor]) -> Tensor:
        unit = functional.normalize(self.pooled(batch["separate"]), dim=-1)
        count, texts = len(unit) // 2, batch["texts"].flatten()
        losses = []
        for i in range(2 * count):
            other = (i + count) % (2 * count)
            kept = [
                k
                for k in range(2 * count)
                if k == other or (k != i and texts[k] != texts[i] and texts[k] != texts[other])
            ]
            scores = unit[i] @ unit[kept].T / 0.1
            losses.append(torch.logsumexp(scores, 0) - scores[kept.index(other)])
        return torch.stack(losses).mean()

    def word(self, batch: dict[str, Tensor]) -> Tensor:
        table = self.model.roberta.embeddings.word_embeddings.weight
        losses = []
        for query, words, is_word, collides in zip(
            self.pooled(batch["pair"]), batch["words"], batch["is_word"], batch["collides"], strict=True
        ):
            negatives = functional.cosine_similarity(query, table[batch["negatives"][~collides]]) / 0.1
            positive = functional.cosine_similarity(query, table[words[is_word]]) / 0.1
            losses.append(
                torch.stack([torch.logsumexp(torch.cat([p[None], negatives]), 0) - p for p in positive]).mean()
            )
        return torch.stack(losses).mean()

    def gradients(self, losses: list[Tensor]) -> list[dict[str, np.ndarray]]:
        """For each loss its gradient by group."""
        base = self.model.roberta
        parts: dict[str, list[nn.Parameter]] = {TABLE: [base.embeddings.word_embeddings.weight]}
        parts[REST] = [p for p in base.embeddings.parameters() if p is not parts[TABLE][0]]
        parts |= {f"layer{k}": list(layer.parameters()) for k, layer in enumerate(base.encoder.layer, start=1)}
        found = []
        for loss in losses:
            by_group = {}
            for name, parameters in parts.items():
                grads = torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True)
                whole = [torch.zeros_like(p) if g is None else g for p, g in zip(parameters, grads, strict=True)]
                by_group[name] = torch.cat([part.flatten() for part in whole]).numpy()
            found.append(by_group)
        return found


def assert_products(products: Products, label: str, naive: list[dict[str, np.ndarray]]) -> None:
    places = list(products.objectives).index(label) * BLOCKS + np.arange(BLOCKS)
    for name in naive[0]:
        stacked = np.stack([gradient[name] for gradient in naive])
        expected = stacked @ stacked.T
        scale = np.abs(expected).max()
        np.testing.assert_allclose(products.matrices[name][np.ix_(places, places)], expected, atol=1e-4 * scale + 1e-12)


def pair_batches(loss: AlignmentBlocks, block: int) -> list[dict[str, Tensor]]:
    return [batch.tensors for step in loss.order.steps(block) for batch in loss.batches.micro_batches(step)]


def test_sentence_and_word_gradients_are_those_of_float64_autograd(encoder: Encoder) -> None:
    loss = alignment(encoder, "S1W1M0")
    products, _, found = measure(encoder, loss)
    naive = Naive(encoder)
    for label, one in (("S", naive.sentence), ("W", naive.word)):
        values = [torch.stack([one(batch) for batch in pair_batches(loss, b)]).mean() for b in range(BLOCKS)]
        assert_products(products, label, naive.gradients(values))
        np.testing.assert_allclose(found[label].losses, [value.item() for value in values], rtol=1e-5)


def test_masked_lm_gradients_sum_the_inputs_and_the_tied_decoders_part(encoder: Encoder) -> None:
    loss = alignment(encoder, "S0W0M1")
    products, _, _ = measure(encoder, loss)
    naive = Naive(encoder)
    values = []
    for block in range(BLOCKS):
        parts, count = [], 0
        for batch in pair_batches(loss, block):
            logits = naive.model(input_ids=batch["masked"], attention_mask=(batch["masked"] != 1).long()).logits
            parts.append(
                functional.cross_entropy(logits.flatten(0, 1)[batch["predict"]], batch["labels"], reduction="sum")
            )
            count += len(batch["labels"])
        values.append(torch.stack(parts).sum() / count)
    assert_products(products, "M", naive.gradients(values))
    apart = products.matrices["embeddings-input"], products.matrices["embeddings-decoder"]
    assert all(np.trace(part) > 0 for part in apart)
    assert not np.allclose(apart[0] + apart[1], products.matrices[TABLE], rtol=1e-3)  # their cross products are missing


def test_task_gradients_are_the_mean_over_heads_in_float64_autograd(encoder: Encoder) -> None:
    loss = tagging(encoder)
    products, _, _ = measure(encoder, loss)
    naive = Naive(encoder)
    values = []
    for block in range(BLOCKS):
        batches = [b.tensors for step in loss.order.steps(block) for b in loss.batches.micro_batches(step)]
        units = sum(len(batch["labels"]) for batch in batches)
        by_head = []
        for weight, bias in zip(loss.weights.double().chunk(3), loss.biases.double().chunk(3), strict=True):
            for batch in batches:
                vectors = naive.states(batch["input_ids"])[-1][batch["rows"], batch["places"]]
                by_head.append(functional.cross_entropy(vectors @ weight.T + bias, batch["labels"], reduction="sum"))
        values.append(torch.stack(by_head).sum() / (3 * units))
    assert_products(products, "pos", naive.gradients(values))


def test_a_sum_of_losses_has_the_products_of_summed_gradients(encoder: Encoder) -> None:
    loss = alignment(encoder, "S1W0M1")
    groups = ParameterGroups(encoder)
    rows = GradientRows(
        encoder.source.directory.parent / "r.npy", most_rows([loss], groups), groups, sketch=None, seed=0
    )
    parts = list(collect(loss, groups, rows).values())
    products = Products.of_gradients([total("S1W0M1", parts), *parts], groups, rows)
    whole = products.matrices[TABLE]
    first, s, m = (slice(i * BLOCKS, (i + 1) * BLOCKS) for i in range(3))
    np.testing.assert_allclose(
        whole[first, first], whole[s, s] + whole[s, m] + whole[m, s] + whole[m, m], rtol=1e-9, atol=1e-12
    )
    together = alignment(encoder, "S1W0M1", share_forward=True)  # two losses behind one forward pass
    assert set(collect(together, groups, GradientRows(rows.path, 12, groups, sketch=None, seed=0))) == {"S", "M"}


def test_layers_above_a_loss_are_not_reached(encoder: Encoder) -> None:
    loss, task = alignment(encoder, "S1W1M0"), tagging(encoder)
    products, groups, _ = measure(encoder, loss, task)
    for second in ("S", "W"):
        lines = {line.group: line for line in products.compare("task-alignment", "pos", second, paired=False)}
        assert lines["layer3"].reach == 0 and lines["layer3"].found.cosine is None
        assert lines["layer2"].found.cosine is not None
        sizes = {name: group.unit_sizes.sum() for name, group in groups.groups.items()}
        assert lines["layer1"].reach == sizes["layer1"]
        assert lines["shared"].reach == sum(lines[group].reach for group in ("embeddings", "layer1", "layer2"))
        # The third layer's share of the task's norm is what tells the two columns apart.
        assert lines["all"].found.norm_first > lines["shared"].found.norm_first  # type: ignore[operator]
        assert abs(lines["all"].found.cosine) < abs(lines["shared"].found.cosine)  # type: ignore[arg-type, operator]


def test_reach_counts_the_rows_of_the_table_that_both_read(encoder: Encoder) -> None:
    loss, task = alignment(encoder, "S1W0M0"), tagging(encoder)
    products, _, found = measure(encoder, loss, task)
    read = {int(i) for b in range(BLOCKS) for batch in pair_batches(loss, b) for i in batch["separate"].unique()} - {1}
    assert set(np.flatnonzero(found["S"].reached[TABLE])) == read
    both = read & set(np.flatnonzero(found["pos"].reached[TABLE]).tolist())
    line = next(x for x in products.compare("v", "pos", "S", paired=False) if x.group == "embeddings")
    assert 0 < len(both) < len(read)
    assert len(both) * encoder.width < line.reach < len(both) * encoder.width + 70 * encoder.width


def test_updates_are_gradients_over_their_root_mean_square(encoder: Encoder) -> None:
    loss, task = alignment(encoder, "S1W0M1"), tagging(encoder)
    groups = ParameterGroups(encoder)
    path = encoder.source.directory.parent / "rows.npy"
    rows = GradientRows(path, most_rows([loss, task], groups), groups, sketch=None, seed=0)
    parts = [*collect(loss, groups, rows).values(), *collect(task, groups, rows).values()]
    both = total("S1W0M1", parts[:2])
    products = Products.of_updates([both, parts[2]], groups, rows)
    vectors = []
    for objective in (both, parts[2]):
        blocks = sum(rows.array[index].astype(np.float64) for index in objective.rows + objective.decoder)
        vectors.append(blocks / (np.sqrt(np.square(blocks).mean(axis=0)) + 1e-8))
    stacked = np.concatenate(vectors)
    for name, columns in groups.columns.items():
        np.testing.assert_allclose(
            products.matrices[name], stacked[:, columns] @ stacked[:, columns].T, rtol=1e-3, atol=1e-2
        )


def test_the_same_blocks_give_the_same_gradients_whatever_came_before(encoder: Encoder) -> None:
    loss, task = alignment(encoder, "S1W0M0"), tagging(encoder)
    alone, _, first = measure(encoder, task)
    after, _, second = measure(encoder, loss, task)
    places = slice(BLOCKS, 2 * BLOCKS)
    np.testing.assert_array_equal(alone.matrices["layer3"], after.matrices["layer3"][places, places])
    assert [block_loss(task, block) for block in range(BLOCKS)] == pytest.approx(first["pos"].losses.tolist())
    assert all(parameter.grad is None for parameter in encoder.model.parameters())
    np.testing.assert_array_equal(first["pos"].losses, second["pos"].losses)


def test_groups_hold_every_parameter_of_the_encoder_once(encoder: Encoder) -> None:
    groups = ParameterGroups(encoder)
    held = [id(parameter) for parameter, _ in groups.parameters()]
    assert len(held) == len(set(held))
    assert set(held) == {id(parameter) for parameter in encoder.base.parameters()}
    assert list(groups.groups) == [TABLE, REST, "layer1", "layer2", "layer3"]
    assert groups.size == sum(parameter.numel() for parameter in encoder.base.parameters())
    assert groups.decoder is not None
    assert groups.decoder.data_ptr() == encoder.base.get_input_embeddings().weight.data_ptr()  # no second copy


def test_a_loss_that_is_not_finite_is_one_line(encoder: Encoder) -> None:
    task = tagging(encoder)
    task.weights[0] = torch.inf
    with pytest.raises(XalignError, match=r"block 1: the loss pos is not finite"):
        measure(encoder, task)


def test_blocks_are_disjoint_and_do_not_depend_on_lengths() -> None:
    short = BlockOrder(np.ones(50, dtype=int), blocks=4, per_block=10, batch_size=4, seed=0)
    mixed = BlockOrder(np.arange(50)[::-1].copy(), blocks=4, per_block=10, batch_size=4, seed=0)
    seen: list[int] = []
    for block in range(4):
        parts = [set(np.concatenate([order.examples(step) for step in order.steps(block)])) for order in (short, mixed)]
        assert parts[0] == parts[1] and len(parts[0]) == 10
        seen += parts[0]
    assert len(set(seen)) == 40
    assert [len(mixed.examples(step)) for step in mixed.steps(0)] == [4, 4, 2]


def test_a_contrast_never_shrinks_and_too_little_data_is_refused() -> None:
    whole = BlockOrder(np.ones(30, dtype=int), blocks=2, per_block=16, batch_size=8, seed=0, equal_batches=True)
    assert [len(whole.examples(step)) for step in range(whole.steps_per_epoch)] == [8, 8]
    with pytest.raises(
        UsageError, match=r"12 pairs do not give 4 blocks of at least 8: lower blocks or pairs_per_batch"
    ):
        BlockOrder(
            np.ones(12, dtype=int), blocks=4, per_block=8, batch_size=8, seed=0, equal_batches=True, what="pairs"
        )
