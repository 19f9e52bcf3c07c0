"""The views of a batch: how pairs are laid out, what is masked, what is drawn, and that cutting changes nothing."""

from __future__ import annotations

import dataclasses
from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from xalign.engine.batch import BatchOrder, MicroBatch, mean_weights
from xalign.errors import UsageError
from xalign.length_groups import in_order, parts
from xalign.losses import word_losses
from xalign.pair_batches import Layout, PairBatches, mask_tokens, text_keys

UNKNOWN = 3
LAYOUT = Layout(
    begin=0, end=2, padding=1, mask=4, special=(0, 1, 2, 4), vocab_size=60, separators=2, max_length=12, pair_length=24
)
BERT = dataclasses.replace(LAYOUT, separators=1)


def corpus(count: int, longest: int = 14, seed: int = 0) -> tuple[list[np.ndarray], list[np.ndarray]]:
    draw = np.random.default_rng(seed)
    sides = [
        [draw.integers(5, 60, size=draw.integers(1, longest)).astype(np.int32) for _ in range(count)] for _ in "xy"
    ]
    return sides[0], sides[1]


def batches(
    source: list[np.ndarray], target: list[np.ndarray], losses: str = "SWM", batch_size: int = 8, **options: Any
) -> PairBatches:
    lengths = np.array([max(len(x), len(y)) for x, y in zip(source, target, strict=True)])
    layout = options.pop("layout", LAYOUT)
    order = BatchOrder(lengths, batch_size, seed=42, bucket_batches=4)
    return PairBatches(source, target, layout, order, losses=losses, seed=42, **{"word_negatives": 16, **options})


# Layout


def test_a_sentence_stands_between_its_special_tokens_and_is_cut_to_max_length() -> None:
    assert LAYOUT.sentence(np.arange(5, 8)).tolist() == [0, 5, 6, 7, 2]
    assert LAYOUT.sentence(np.arange(5, 15)).tolist() == [0, *range(5, 15), 2]
    assert LAYOUT.sentence(np.arange(5, 16)).tolist() == [0, *range(5, 15), 2]
    assert LAYOUT.sentence(np.array([], dtype=np.int32)).tolist() == [0, 2]


def test_a_pair_has_two_separators_in_the_xlm_r_family_and_one_in_bert_s() -> None:
    x, y = np.array([5, 6]), np.array([7])
    assert LAYOUT.pair(x, y).tolist() == [0, 5, 6, 2, 2, 7, 2]
    assert BERT.pair(x, y).tolist() == [0, 5, 6, 2, 7, 2]


@pytest.mark.parametrize(
    ("model_type", "separators"), [("xlm-roberta", 2), ("roberta", 2), ("bert", 1), ("distilbert", 1)]
)
def test_the_separator_follows_the_architecture(model_type: str, separators: int) -> None:
    class Words:
        cls_token_id, bos_token_id, sep_token_id, pad_token_id, mask_token_id = 0, None, 2, 1, 4

        def __len__(self) -> int:
            return 60

    layout = Layout.of(Words(), [0, 1, 2, 4], model_type, 12, 24)  # type: ignore[arg-type]
    assert layout == dataclasses.replace(LAYOUT, separators=separators)
    Words.cls_token_id = None  # type: ignore[assignment]
    with pytest.raises(UsageError, match="names no beginning-of-sentence token"):
        Layout.of(Words(), [0, 1, 2, 4], model_type, 12, 24)  # type: ignore[arg-type]


@pytest.mark.parametrize("layout", [LAYOUT, BERT])
@pytest.mark.parametrize("x", [0, 1, 7, 9, 10, 11, 20, 90])
@pytest.mark.parametrize("y", [0, 1, 7, 9, 10, 11, 20, 90])
def test_long_pairs_are_cut_equally_and_short_sides_leave_their_room_to_the_other(
    layout: Layout, x: int, y: int
) -> None:
    row = layout.pair(np.full(x, 30), np.full(y, 40))
    kept_x, kept_y = int((row == 30).sum()), int((row == 40).sum())
    room = layout.pair_length - 2 - layout.separators
    assert len(row) <= layout.pair_length
    assert kept_x + kept_y == min(x + y, room)  # nothing is cut that has room
    if kept_x < x and kept_y < y:
        assert abs(kept_x - kept_y) <= 1
    elif kept_x < x or kept_y < y:  # an odd room gives its last place to either side
        assert (kept_x - kept_y) * (1 if kept_x < x else -1) >= -1


def test_equal_texts_have_equal_keys() -> None:
    keys = text_keys([np.array([5, 6]), np.array([6, 5]), np.array([5, 6]), np.array([], dtype=np.int64)])
    assert keys[0] == keys[2] and len(set(keys.tolist())) == 3
    x, _ = corpus(2000)
    distinct = {tuple(row.tolist()) for row in x}
    assert len(set(text_keys(x).tolist())) == len(distinct)


# Masked tokens

CONTENT = np.random.default_rng(0).integers(5, 60, size=(500, 97))
ROWS = np.concatenate([np.zeros((500, 1), int), CONTENT, np.full((500, 2), 2)], axis=1)  # <s> … </s> <pad>
ROWS[:, -1] = 1
ROWS[::7, 5] = UNKNOWN
IDS = np.arange(500)


def masked(rows: np.ndarray = ROWS, examples: np.ndarray = IDS, **changes: Any) -> tuple[np.ndarray, np.ndarray]:
    return mask_tokens(
        rows, changes.pop("layout", LAYOUT), examples=examples,
        **{"probability": 0.15, "seed": 42, "stream": "mask", "step": 3, **changes},
    )  # fmt: skip


def test_fifteen_in_a_hundred_content_tokens_are_chosen_and_eighty_ten_ten_become_mask_random_and_themselves() -> None:
    from scipy import stats

    corrupted, predict = masked()
    content = ~np.isin(ROWS, LAYOUT.special)
    chosen = int(predict.sum())
    as_mask = int((corrupted[predict] == LAYOUT.mask).sum())
    changed = int(((corrupted != ROWS) & predict).sum()) - as_mask
    # A random entry is the token itself once in 56 draws.
    for hits, total, share in (
        (chosen, int(content.sum()), 0.15),
        (as_mask, chosen, 0.8),
        (changed, chosen, 0.1 * 55 / 56),
        (chosen - as_mask - changed, chosen, 0.1 + 0.1 / 56),
    ):
        assert stats.binomtest(hits, total, share).pvalue > 1e-3, (hits, total, share)


def test_special_tokens_are_never_chosen_changed_or_drawn() -> None:
    corrupted, predict = masked(probability=0.9)
    special = np.isin(ROWS, LAYOUT.special)
    assert not predict[special].any()
    np.testing.assert_array_equal(corrupted[~predict], ROWS[~predict])
    drawn = corrupted[predict & (corrupted != ROWS) & (corrupted != LAYOUT.mask)]
    assert set(np.unique(drawn)) == set(range(60)) - set(LAYOUT.special)  # <unk> is an entry like others


def test_unknown_words_are_masked_like_others() -> None:
    corrupted, predict = masked(probability=0.5)
    unknown = ROWS == UNKNOWN
    assert 0 < predict[unknown].sum() < unknown.sum()
    assert (corrupted[unknown & predict] == LAYOUT.mask).any()


def test_a_mask_depends_on_the_example_and_not_on_its_batch_or_padding() -> None:
    whole, predicted = masked()
    some = np.array([411, 3, 77])
    corrupted, predict = masked(np.pad(ROWS[some], ((0, 0), (0, 9)), constant_values=1), some)
    np.testing.assert_array_equal(corrupted[:, :100], whole[some])
    np.testing.assert_array_equal(predict[:, :100], predicted[some])
    assert not predict[:, 100:].any()


@pytest.mark.parametrize("change", [{"seed": 43}, {"step": 4}, {"stream": "mask-target"}, {"examples": IDS + 1000}])
def test_another_seed_step_side_or_example_masks_other_tokens(change: dict[str, Any]) -> None:
    _, first = masked()
    _, second = masked(**change)
    both = (first & second).sum() / first.sum()
    assert 0.1 < both < 0.2  # independent choices meet in 15 of 100


def test_a_tokenizer_without_a_mask_token_is_refused_before_training() -> None:
    source, target = corpus(20)
    with pytest.raises(UsageError, match="names no mask token, which M needs"):
        batches(source, target, "M", layout=dataclasses.replace(LAYOUT, mask=None))
    batches(source, target, "SW", layout=dataclasses.replace(LAYOUT, mask=None))
    with pytest.raises(UsageError, match="names no mask token, which M needs"):
        masked(layout=dataclasses.replace(LAYOUT, mask=None))


# Views


def test_the_separate_view_holds_sources_first_then_their_translations() -> None:
    source, target = corpus(20)
    [micro] = batches(source, target, "S").micro_batches(0)
    view = micro.tensors["separate"].numpy()
    for row, (ids, example) in enumerate(zip(view, micro.examples * 2, strict=True)):
        side = source if row < 8 else target
        expected = LAYOUT.sentence(side[example])
        np.testing.assert_array_equal(ids[: len(expected)], expected)
        assert (ids[len(expected) :] == LAYOUT.padding).all()
    assert micro.items == 8 and micro.tokens == view.size and micro.counts.tolist() == [16]


def test_a_bag_holds_each_content_token_of_its_pair_once() -> None:
    source, target = corpus(20)
    source[3] = np.array([9, 9, UNKNOWN, 9], dtype=np.int32)
    for micro in batches(source, target, "W", batch_size=20).micro_batches(0):
        for example, ids, is_word, row in zip(
            micro.examples, micro.tensors["words"], micro.tensors["is_word"], micro.tensors["pair"], strict=True
        ):
            expected = set(LAYOUT.pair(source[example], target[example]).tolist()) - set(LAYOUT.special)
            found = ids[is_word].tolist()
            assert set(found) == expected and len(found) == len(expected)
            assert set(row.tolist()) - set(LAYOUT.special) == expected
            assert example != 3 or UNKNOWN in found


def test_word_negatives_are_distinct_never_special_and_marked_where_they_collide() -> None:
    source, target = corpus(20)
    [micro] = batches(source, target, "W", word_negatives=40).micro_batches(5)
    drawn = micro.tensors["negatives"].tolist()
    assert len(set(drawn)) == 40 and not set(drawn) & set(LAYOUT.special)
    for ids, is_word, collides in zip(
        micro.tensors["words"], micro.tensors["is_word"], micro.tensors["collides"], strict=True
    ):
        bag = set(ids[is_word].tolist())
        assert collides.tolist() == [v in bag for v in drawn]
    assert micro.tensors["collides"].any() and not micro.tensors["collides"].all()


def test_word_negatives_cover_the_vocabulary_over_the_steps() -> None:
    source, target = corpus(20)
    made = batches(source, target, "W")
    drawn = [set(made.micro_batches(step)[0].tensors["negatives"].tolist()) for step in range(40)]
    assert set.union(*drawn) == set(range(60)) - set(LAYOUT.special)
    assert drawn[0] != drawn[1]


def test_word_negatives_are_the_same_in_all_micro_batches_and_processes_of_a_step() -> None:
    source, target = corpus(20)
    sets = {
        tuple(micro.tensors["negatives"].tolist())
        for rank in (0, 1)
        for micro in batches(source, target, "W", accumulation=2, rank=rank, processes=2).micro_batches(7)
    }
    assert len(sets) == 1


def test_more_word_negatives_than_the_vocabulary_has_are_refused() -> None:
    source, target = corpus(20)
    with pytest.raises(UsageError, match="word_negatives=56 leaves nothing to draw from 56 entries"):
        batches(source, target, "W", word_negatives=56)
    batches(source, target, "S", word_negatives=56)


def test_pairs_without_any_word_make_a_batch_without_word_loss() -> None:
    empty = [np.array([], dtype=np.int32) for _ in range(8)]
    [micro] = batches(empty, empty, "W").micro_batches(0)
    assert micro.counts.tolist() == [0]
    assert micro.tensors["words"].shape == (8, 0) and micro.tensors["collides"].shape == (8, 16)
    losses, counted = word_losses(
        torch.randn(8, 4), torch.zeros(8, 0, 4), micro.tensors["is_word"], torch.randn(16, 4),
        micro.tensors["collides"], temperature=0.1,
    )  # fmt: skip
    assert losses.sum() == 0 and not counted.any()


def predicted(micro: MicroBatch) -> torch.Tensor:
    """(N, L) booleans, true on the tokens to predict."""
    masked = micro.tensors["masked"]
    chosen = torch.zeros(masked.numel(), dtype=torch.bool)
    chosen[micro.tensors["predict"]] = True
    return chosen.view_as(masked)


@pytest.mark.parametrize("mlm_input", ["separate", "tlm"])
def test_labels_are_the_clean_ids_of_the_predicted_positions(mlm_input: str) -> None:
    source, target = corpus(20)
    [micro] = batches(source, target, "SWM", mlm_input=mlm_input, mlm_probability=0.5).micro_batches(0)
    tensors = micro.tensors
    clean = tensors["separate"] if mlm_input == "separate" else tensors["pair"]
    chosen = predicted(micro)
    torch.testing.assert_close(tensors["labels"], clean[chosen])
    assert torch.equal(tensors["masked"][~chosen], clean[~chosen])
    assert micro.counts.tolist() == [16, 8, len(tensors["predict"])]


def test_the_two_sides_of_a_pair_are_masked_independently() -> None:
    same = [np.arange(5, 15, dtype=np.int32)] * 200
    [micro] = batches(same, same, "M", batch_size=200, mlm_probability=0.5).micro_batches(0)
    source, target = predicted(micro)[:, 1:-1].chunk(2)
    assert abs(float((source == target).float().mean()) - 0.5) < 0.05


def test_only_the_views_that_the_losses_read_are_made() -> None:
    source, target = corpus(20)
    views = {"separate", "pair", "masked"}

    def made(losses: str, **options: Any) -> set[str]:
        return views & set(batches(source, target, losses, **options).micro_batches(0)[0].tensors)

    assert made("S") == {"separate"} and made("W") == {"pair"} and made("M") == {"masked"}
    assert made("SWM") == views
    assert made("SM", share_forward=True) == {"masked"}
    assert made("S", share_forward=True) == {"separate"}


@pytest.mark.parametrize("mlm_input", ["separate", "tlm"])
def test_groups_by_length_hold_the_same_rows_and_predict_the_same_tokens(mlm_input: str) -> None:
    source, target = corpus(20)

    def made(length_groups: int) -> MicroBatch:
        options = {"mlm_input": mlm_input, "mlm_probability": 0.5, "length_groups": length_groups}
        return batches(source, target, "SWM", **options).micro_batches(0)[0]

    whole, grouped = made(1), made(3)
    for view in ("separate", "pair", "masked"):
        ids = parts(grouped.tensors, view)
        assert len(ids) == 3 and len({part.shape[1] for part in ids}) > 1
        width = whole.tensors[view].shape[1]
        padded = [functional.pad(part, (0, width - part.shape[1]), value=LAYOUT.padding) for part in ids]
        assert torch.equal(in_order(grouped.tensors, view, padded), whole.tensors[view])
    positions = torch.cat([part.flatten() for part in parts(grouped.tensors, "masked")])[grouped.tensors["predict"]]
    seen = whole.tensors["masked"].flatten()[whole.tensors["predict"]]
    assert Counter(zip(positions.tolist(), grouped.tensors["labels"].tolist(), strict=True)) == Counter(
        zip(seen.tolist(), whole.tensors["labels"].tolist(), strict=True)
    )


def test_every_process_encodes_as_many_groups_even_where_the_cut_is_uneven() -> None:
    source, target = corpus(20)
    for size in (7, 9):
        counts = {
            len(parts(batches(source, target, "S", batch_size=size, length_groups=8, rank=rank, processes=2)
                      .micro_batches(0)[0].tensors, "separate"))
            for rank in (0, 1)
        }  # fmt: skip
        assert counts == {size // 2}


def test_equal_texts_have_equal_keys_within_and_across_the_sides() -> None:
    source, target = corpus(8)
    source[5], target[2] = source[1].copy(), source[1].copy()
    [micro] = batches(source, target, "S").micro_batches(0)
    keys = micro.tensors["texts"]
    place = {example: row for row, example in enumerate(micro.examples)}
    assert keys[0, place[5]] == keys[0, place[1]] == keys[1, place[2]]
    assert len(set(keys.flatten().tolist())) == 14


# Cutting a batch


def every_part(
    source: list[np.ndarray], target: list[np.ndarray], step: int, accumulation: int, processes: int
) -> list[MicroBatch]:
    """All micro-batches of all processes of a step."""
    return [
        micro
        for rank in range(processes)
        for micro in batches(source, target, accumulation=accumulation, rank=rank, processes=processes).micro_batches(
            step
        )
    ]


def rows_by_example(parts: list[MicroBatch]) -> dict[int, tuple[list[list[int]], list[list[int]], list[int]]]:
    """example → its masked rows without padding, its predicted positions, its bag."""
    found = {}
    for micro in parts:
        t, chosen = micro.tensors, predicted(micro)
        count = len(micro.examples)
        for row, example in enumerate(micro.examples):
            pair = (row, row + count)
            found[example] = (
                [t["masked"][i][t["masked"][i] != LAYOUT.padding].tolist() for i in pair],
                [chosen[i].nonzero().flatten().tolist() for i in pair],
                t["words"][row][t["is_word"][row]].tolist(),
            )
    return found


@pytest.mark.parametrize(("accumulation", "processes"), [(2, 1), (1, 2), (2, 2), (1, 4)])
def test_masks_bags_and_examples_of_a_step_do_not_depend_on_how_it_is_cut(accumulation: int, processes: int) -> None:
    source, target = corpus(40)
    for step in (0, 3, 11):
        whole = rows_by_example(every_part(source, target, step, 1, 1))
        assert rows_by_example(every_part(source, target, step, accumulation, processes)) == whole


@pytest.mark.parametrize(("accumulation", "processes"), [(2, 1), (1, 2), (2, 2)])
def test_weights_make_one_mean_of_a_batch_however_it_is_cut(accumulation: int, processes: int) -> None:
    """W and M are means over all pairs and tokens of the step, not means of means."""
    source, target = corpus(40, longest=9)
    source[0], target[0] = source[0][:0], target[0][:0]  # one pair without words
    table = torch.randn(60, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)

    def losses(parts: list[MicroBatch]) -> Tensor:
        """(S, W, M) with numbers of each pair and token in place of a model's."""
        counts = torch.stack([micro.counts for micro in parts]).sum(dim=0)
        weights = mean_weights(counts)
        total = torch.zeros(3, dtype=torch.float64)
        for micro in parts:
            t = micro.tensors
            query = torch.stack([table[w[ok]].sum(dim=0) for w, ok in zip(t["words"], t["is_word"], strict=True)])
            words, _ = word_losses(
                query, table[t["words"]], t["is_word"], table[t["negatives"]], t["collides"], temperature=0.1
            )
            total += (
                torch.stack([torch.tensor(2.0 * len(micro.examples)), words.sum(), t["labels"].double().sum()]).double()
                * weights
            )
        return total

    steps = range(5)
    expected = [losses(every_part(source, target, step, 1, 1)) for step in steps]
    found = [losses(every_part(source, target, step, accumulation, processes)) for step in steps]
    torch.testing.assert_close(torch.stack(found), torch.stack(expected), rtol=1e-5, atol=1e-6)
    assert all(value[0] == 1 for value in expected)
