"""Known effects come out of synthetic runs as the evidence says they should, and verdicts follow."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from synthetic import write_transfer
from synthetic_analyses import write_distances, write_gradients, write_retrieval

from xalign.__main__ import run
from xalign.config import LOSSES
from xalign.config.analyses import LANGUAGES, MEASURED_PAIRS
from xalign.errors import UsageError
from xalign.report.claims import CONTRADICTED, NO_EVIDENCE, REPRODUCED, read_claims
from xalign.report.evidence import ESTIMATORS, Evidence
from xalign.report.evidence.accuracy import accuracy_change, loss_difference, main_effect, mode_difference
from xalign.report.evidence.encoders import cosine_change, gradient_by_english, gradient_cosine, group_difference
from xalign.report.evidence.languages import predictor_correlation, proximity_correlation, script_by_task
from xalign.report.predict import gather, predict

PAIRS = ("de-en", "kk-ko")
SENTENCES = 400


def gain(pair: str, loss: str, language: str) -> float:
    """The effect that the synthetic grid has: S helps, W hurts, and Germanic and Turkic targets gain by their pair."""
    own = 0.06 if language in {"de-en": ("deu", "spa", "fra"), "kk-ko": ("kaz", "kor")}[pair] else 0.0
    return 0.05 * (loss[1] == "1") - 0.04 * (loss[3] == "1") + own


def outcomes(accuracy: dict[str, float], seed: int) -> dict[str, np.ndarray]:
    """Outcomes with exactly the given accuracies, in an order of their own."""
    random = np.random.default_rng(seed)
    found = {}
    for language, value in accuracy.items():
        hits = np.arange(SENTENCES) < round(value * SENTENCES)
        found[language] = np.stack([random.permutation(hits) for _ in range(2)]).astype(int)
    return found


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    levels = {language: 0.4 + 0.02 * rank for rank, language in enumerate(LANGUAGES)}
    for task, mode in itertools.product(("pos", "topic"), ("full", "linear")):
        shift = 0.1 if mode == "full" else 0.0
        base = {language: value + shift for language, value in levels.items()}
        write_transfer(folder, task, mode, correct=outcomes(base, 0), seeds=(15, 33))
        for pair, loss in itertools.product(PAIRS, LOSSES):
            after = {language: value + gain(pair, loss, language) for language, value in base.items()}
            write_transfer(folder, task, mode, pair, loss, correct=outcomes(after, 1), seeds=(15, 33))
    write_retrieval(folder, lambda s, t, k: 0.3, pairs=MEASURED_PAIRS)
    write_distances(folder, lambda level, p, k: 0.5, pairs=MEASURED_PAIRS)
    for pair, loss in itertools.product(PAIRS, LOSSES):

        def cosine(source: str, target: str, layer: int, pair: str = pair, loss: str = loss) -> float:
            """Rises where accuracy does, so that it predicts perfectly; less in group 3."""
            other = source if target == "eng" else target
            return 0.3 + gain(pair, loss, other)

        write_retrieval(folder, cosine, pair, loss, pairs=MEASURED_PAIRS)
        write_distances(folder, lambda level, p, k: 0.5, pair, loss, pairs=MEASURED_PAIRS)
        for task, value in (("pos", -0.4), ("topic", 0.4)):
            write_gradients(folder, value + (0.08 if pair == "kk-ko" else 0.0), pair, loss, task)
    return folder


@pytest.fixture(scope="module")
def evidence(runs: Path) -> Evidence:
    found, missing = gather(runs, None)
    assert missing == []
    return found


def test_the_change_of_a_configuration_is_the_mean_over_pairs_and_languages(evidence: Evidence) -> None:
    expected = np.mean([gain(pair, "S0W1M0", language) for pair in PAIRS for language in LANGUAGES])
    found = accuracy_change(evidence, task="pos", loss="S0W1M0")
    assert found is not None and found.estimate == pytest.approx(expected, abs=2e-3)
    assert found.low < expected < found.high


def test_losses_are_compared_within_pairs_and_main_effects_come_from_the_whole_factorial(evidence: Evidence) -> None:
    difference = loss_difference(evidence, task="topic", first="S1W0M0", second="S0W1M0")
    effect = main_effect(evidence, task="topic", loss="W")
    assert difference is not None and difference.estimate == pytest.approx(0.09, abs=2e-3)
    own = np.mean([gain(pair, "S0W0M1", language) for pair in PAIRS for language in LANGUAGES])
    # The corner S0W0M0 is the base, which has no gain for its own pair: W's effect keeps a quarter of that.
    assert effect is not None and effect.estimate == pytest.approx(-0.04 + own / 4, abs=3e-3)


def test_full_fine_tuning_beats_the_head_by_what_was_put_in(evidence: Evidence) -> None:
    found = mode_difference(evidence, task="pos")
    assert found is not None and found.estimate == pytest.approx(0.1, abs=2e-3) and found.low > 0


def test_cosine_changes_average_models_and_language_pairs(evidence: Evidence) -> None:
    found = cosine_change(evidence, loss="S1W0M0")
    assert found is not None and 0.05 < found.estimate < 0.11 and found.low > 0.04
    group = group_difference(evidence, group="others with English")
    assert group is not None and group.low <= group.estimate <= group.high


def test_gradient_cosines_keep_the_errors_of_their_blocks(evidence: Evidence) -> None:
    found = gradient_cosine(evidence, task="pos")
    models = len(PAIRS) * len(LOSSES)
    assert found is not None and found.estimate == pytest.approx((-0.4 + 0.04) / 0.8)
    assert found.high - found.low == pytest.approx(0.1 / np.sqrt(models))
    without_english = gradient_by_english(evidence)
    assert without_english is not None and without_english.estimate == pytest.approx(0.08 / 0.8)


def test_a_perfect_predictor_has_a_perfect_rank_correlation_and_a_constant_one_has_none(evidence: Evidence) -> None:
    found = predictor_correlation(evidence, task="pos", predictor="mean_cosine")
    assert found is not None and found.estimate > 0.95
    assert predictor_correlation(evidence, task="pos", predictor="distance") is None


def test_predictor_correlations_equal_scipy_s(evidence: Evidence) -> None:
    units = [unit for unit in evidence.units if (unit.task, unit.mode) == ("topic", "linear")]
    assert len(units) == len(PAIRS) * len(LOSSES) * (len(LANGUAGES) - 1)
    expected = stats.spearmanr([u.predictors["recall_at_1"] for u in units], [u.change for u in units]).statistic
    every = [predictor_correlation(Evidence(units=tuple(units)), task="topic", predictor="recall_at_1")]
    assert every[0] is not None and every[0].estimate == pytest.approx(expected)


def test_targets_near_the_alignment_languages_gain_more_when_they_were_made_to(evidence: Evidence) -> None:
    near = proximity_correlation(evidence, to="alignment")
    assert near is not None and near.estimate > 0.3
    english = proximity_correlation(evidence, to="english")
    assert english is not None and english.estimate < near.estimate


def test_script_counts_equally_in_two_tasks_that_are_the_same(evidence: Evidence) -> None:
    found = script_by_task(evidence)
    assert found is not None and found.estimate == pytest.approx(0, abs=1e-9)


def test_every_claim_names_an_estimator_that_takes_its_arguments(evidence: Evidence) -> None:
    for claim in read_claims():
        ESTIMATORS[claim.estimator](evidence, **claim.arguments)


def test_verdicts_say_what_was_put_in(runs: Path) -> None:
    report = predict(runs, draws=60)
    claims = report.data["predict-claims"]
    verdicts = {row[0]: row[claims.columns.index("verdict")] for row in claims.rows}
    assert verdicts["HII-pos"] == verdicts["HII-topic"] == REPRODUCED
    assert verdicts["W-alone-pos"] == verdicts["iii-full-over-linear-pos"] == REPRODUCED
    assert verdicts["iv-levels-pos"] == CONTRADICTED
    assert "Claims and verdicts" in report.text("markdown")


def test_one_hypothesis_shows_its_claims_alone(runs: Path) -> None:
    ids = [row[0] for row in predict(runs, hypothesis="HII", draws=60).data["predict-HII-claims"].rows]
    assert ids and all(str(name).startswith("HII-") for name in ids)
    with pytest.raises(UsageError, match="HI, HII"):
        predict(runs, hypothesis="HIII")


def test_without_analyses_the_claims_on_accuracy_are_still_judged(tmp_path: Path) -> None:
    write_transfer(tmp_path, "pos", "full")
    write_transfer(tmp_path, "pos", "full", "de-en", "S0W1M0")
    report = predict(tmp_path, draws=60)
    claims = report.data["predict-claims"]
    verdicts = {row[0]: row[claims.columns.index("verdict")] for row in claims.rows}
    assert verdicts["W-alone-pos"] != NO_EVIDENCE and verdicts["HII-pos"] == NO_EVIDENCE
    assert "No gradients runs" in report.text("markdown")


@pytest.mark.parametrize("command", ["predict", "report predict"])
@pytest.mark.parametrize("option", [["--format", "pdf"], ["--tracking", "wandb"]])
def test_unknown_formats_and_trackings_are_refused_before_anything_is_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str, option: list[str]
) -> None:
    write_transfer(tmp_path, "pos", "full")
    assert run([*command.split(), "--runs", str(tmp_path), *option]) == 2
    assert option[1] in capsys.readouterr().err
    assert not (tmp_path / "report").exists()
