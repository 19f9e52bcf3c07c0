"""Examples of several languages as one."""

from __future__ import annotations

import numpy as np

from xalign.tasks.examples import Examples, joined


def examples(seed: int) -> Examples:
    """Three sentences in four inputs, with five words; the second sentence has two windows."""
    draw = np.random.default_rng(seed)
    return Examples(
        ids=[f"{seed}-{i}" for i in range(3)],
        inputs=[draw.integers(0, 99, size) for size in (4, 6, 3, 5)],
        input_starts=np.array([0, 1, 3, 4]),
        unit_starts=np.array([0, 1, 4, 5]),
        unit_inputs=np.array([0, 1, 1, 2, 3]),
        labels=draw.integers(0, 9, 5),
        positions={"first": draw.integers(1, 3, 5)},
    )


def test_each_unit_keeps_its_sentence_its_input_its_place_and_its_label() -> None:
    parts = [examples(seed) for seed in range(3)]
    whole = joined(parts)
    assert len(whole) == 9 and whole.ids == [id_ for part in parts for id_ in part.ids]
    for number, part in enumerate(parts):
        for sentence in range(3):
            place = 3 * number + sentence
            ours, own = (
                e.inputs[e.input_starts[i] : e.input_starts[i + 1]] for e, i in ((whole, place), (part, sentence))
            )
            assert [row.tolist() for row in ours] == [row.tolist() for row in own]
            assert whole.lengths[place] == part.lengths[sentence]
        for unit in range(5):
            place = 5 * number + unit
            assert whole.inputs[whole.unit_inputs[place]] is part.inputs[part.unit_inputs[unit]]
            assert whole.labels[place] == part.labels[unit]
            assert whole.positions["first"][place] == part.positions["first"][unit]
    right = np.ones(15)
    assert whole.per_sentence(right).tolist() == [1, 3, 1] * 3


def test_one_part_stays_what_it_is() -> None:
    part = examples(0)
    whole = joined([part])
    for name in ("input_starts", "unit_starts", "unit_inputs", "labels"):
        np.testing.assert_array_equal(getattr(whole, name), getattr(part, name))
