"""What a card says of later runs: those of this encoder's weights alone, with intervals that can be checked."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from synthetic import SEEDS, random_outcomes, write_transfer
from synthetic_analyses import write_retrieval

from xalign.errors import UsageError
from xalign.report.descendants import measured_below, sections
from xalign.report.statistics import bootstrap_seeds, bootstrap_sentences
from xalign.sharing.card_metrics import wilson
from xalign.storage import read_json, write_json

PAIRS = ("deu-eng", "kaz-eng")
OURS = "aligned-de-en/S1W0M1"  # how the synthetic runs call its weights


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Retrieval and transfer of a base and of two aligned encoders."""
    for place in ((None, None), ("de-en", "S1W0M1"), ("de-en", "S1W0M0")):
        shift = {None: 0.1, "S1W0M1": 0.3, "S1W0M0": 0.2}[place[1]]
        directory = write_retrieval(
            tmp_path, lambda s, t, k, shift=shift: shift + k / 100 + 0.2 * (s == "deu"), *place, pairs=PAIRS
        )
        write_json(directory / "result.json", {"sentences": 200})
        hits = random_outcomes(np.random.default_rng(int(100 * shift)), 0.4 + shift, 50)
        write_transfer(tmp_path, "topic", "linear", *place, correct=hits)
    return tmp_path


def rows(text: str) -> dict[str, list[str]]:
    """The cells of a table by its first column."""
    lines = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    return {line[0]: line[1:] for line in lines}


def test_only_runs_of_these_weights_are_told_at_the_exported_layer(runs: Path) -> None:
    (title, retrieval), (other, _) = sections(runs, OURS, 8)
    assert (title, other) == ("Retrieval", "Zero-shot transfer: topic, linear")
    found = rows(retrieval)
    assert found["mean cosine of translations, mean"][0] == f"{(0.3 + 0.08) + 0.2 / 4:.3f}"
    assert found["recall at 1, deu → eng"][0] == f"{0.3 + 0.08 + 0.2 + 0.01:.3f}"
    assert "hidden_states[8]" in retrieval and "hidden_states[4]" in sections(runs, OURS, 4)[0][1]
    assert [title for title, _ in sections(runs, "w0", 8)] == [title, other]  # the base
    assert sections(runs, "weights of nobody", 8) == ()


def test_intervals_of_retrieval(runs: Path) -> None:
    found = rows(sections(runs, OURS, 8)[0][1])
    low, high = wilson(0.59, 200)
    assert found["recall at 1, deu → eng"][1:] == [f"[{low:.3f}, {high:.3f}]", "200 sentences"]
    # Of two pairs a bootstrap draws one alone in half of the cases: the limits are the two values.
    assert found["recall at 1, mean"][1] == f"[{0.39:.3f}, {0.49:.3f}]"


def test_intervals_of_transfer_resample_sentences_and_seeds(runs: Path) -> None:
    found = rows(sections(runs, OURS, 8)[1][1])
    hits = random_outcomes(np.random.default_rng(30), 0.7, 50)
    order = sorted(range(50), key=str)  # a record sorts sentences by id
    hits = {language: outcomes[:, order] for language, outcomes in hits.items()}
    sampled = bootstrap_sentences(hits, {language: np.ones(50, int) for language in hits}, shared=True)
    draws = (sampled["kaz"] * bootstrap_seeds("finetune", SEEDS)).sum(axis=1)
    low, high = np.quantile(draws, [0.025, 0.975])
    assert found["kaz"] == [f"{hits['kaz'].mean():.3f}", f"[{low:.3f}, {high:.3f}]", "50 sentences"]
    assert found["mean"][0] == f"{np.mean([h.mean() for h in hits.values()]):.3f}"
    assert low < hits["kaz"].mean() < high


def test_unfinished_runs_are_no_measurement_and_a_missing_folder_is_refused(runs: Path) -> None:
    for result in (runs / "retrieve").rglob("result.json"):
        assert read_json(result) and not result.unlink()
    assert [title for title, _ in sections(runs, OURS, 8)] == ["Zero-shot transfer: topic, linear"]
    with pytest.raises(UsageError, match="no such directory"):
        measured_below(runs / "nowhere")
