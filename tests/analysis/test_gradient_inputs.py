"""The objective of a gradient analysis is the one that the model was aligned with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from xalign.analysis.gradient_inputs import alignment_recipe
from xalign.config import AlignConfig, GradientsConfig, as_dict
from xalign.model_source import ModelSource


def aligned(folder: Path, **options: Any) -> ModelSource:
    """A model that an alignment run with these options made."""
    config = AlignConfig(pair="en-kk", loss="S1W0M0", output="runs/align", **options)
    folder.mkdir()
    (folder / "run.json").write_text(json.dumps({"phase": "align", "config": as_dict(config)}))
    lineage = {"pair": "en-kk", "loss": "S1W0M0"}
    return ModelSource("tiny", folder / "encoder", lineage, {"path": str(folder), "key": "k"})


@pytest.mark.parametrize(
    ("name", "value"),
    [("temperature", 0.05), ("layer", "4"), ("held_out", 50), ("max_pairs", 300), ("shared_with", ("ja-kk", "kk-ko"))],
)
def test_options_that_change_the_objective_or_its_held_out_pairs_are_the_run_s_own(
    tmp_path: Path, name: str, value: Any
) -> None:
    source = aligned(tmp_path / "run", **{name: value})
    recipe = alignment_recipe(GradientsConfig(task="pos", output="runs/gradients"), source)
    assert getattr(recipe, name) == value != getattr(AlignConfig(pair="en-kk", output="x"), name)


def test_another_pair_has_its_own_corpus(tmp_path: Path) -> None:
    source = aligned(tmp_path / "run", shared_with=("ja-kk",), max_pairs=300)
    recipe = alignment_recipe(GradientsConfig(task="pos", pair="de-en", output="runs/gradients"), source)
    assert recipe.shared_with == () and recipe.max_pairs == 100_000
