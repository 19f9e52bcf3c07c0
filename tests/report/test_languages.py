"""The report on all languages: a planted effect is found where it is, and intervals are those of the definition."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from synthetic import random_outcomes, write_transfer

from xalign.data.languages import all_languages, find
from xalign.errors import UsageError
from xalign.report import Report, write_all, write_report
from xalign.report.estimates import make_blocks
from xalign.report.language_changes import measure_blocks
from xalign.report.language_groups import make_groups
from xalign.report.methods import collect_methods
from xalign.report.records import collect_transfers
from xalign.report.statistics import SEED, SHARED, generator, resample_counts

CODES = tuple(
    language.code
    for script, every in (("Latn", 10), ("Cyrl", 3), ("Deva", 4))
    for language in [language for language in all_languages() if language.script == script][::every]
)
SENTENCES, DRAWS = 60, 200
SCRIPTS = {code: find(code).script for code in CODES}


def write_planted(runs: Path, gain: float = 0.35, script: str = "Cyrl") -> None:
    """Two aligned encoders in many languages: one changes nothing but in one script, the other nothing at all."""
    random = np.random.default_rng(1)
    base = random_outcomes(random, 0.4, SENTENCES, CODES)
    better = {
        code: np.maximum(hits, random.random(hits.shape) < gain).astype(int) if SCRIPTS[code] == script else hits
        for code, hits in base.items()
    }
    flipped = {code: np.where(random.random(hits.shape) < 0.05, 1 - hits, hits) for code, hits in base.items()}
    write_transfer(runs, "topic", "linear", correct=base, everywhere=True)
    write_transfer(runs, "topic", "linear", "de-en", "S1W0M0", correct=better, everywhere=True)
    write_transfer(runs, "topic", "linear", "kk-ko", "S0W0M1", correct=flipped, everywhere=True)


def read(runs: Path, name: str) -> list[dict[str, str]]:
    """The lines of a CSV of the report."""
    with (runs / "report" / f"{name}.csv").open() as stream:
        return list(csv.DictReader(stream))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Report]:
    """A runs directory with the planted effect, and its report."""
    runs = tmp_path_factory.mktemp("planted")
    write_planted(runs)
    return runs, write_report("languages", runs)


@pytest.fixture(scope="module")
def planted(made: tuple[Path, Report]) -> Path:
    """The runs directory with the planted effect."""
    return made[0]


def test_an_effect_in_one_script_is_found_there_and_nowhere_else(planted: Path) -> None:
    groups = [line for line in read(planted, "languages") if line["kind"] == "script"]
    clear = {(x["loss"], x["group"]) for x in groups if float(x["adjusted_low"]) > 0 or float(x["adjusted_high"]) < 0}
    assert clear == {("S1W0M0", "Cyrillic")}
    gains = {x["group"]: float(x["change"]) for x in groups if x["loss"] == "S1W0M0"}
    assert gains["Cyrillic"] == pytest.approx(0.6 * 0.35, abs=0.05) and gains["Latin"] == gains["Devanagari"] == 0


def test_the_languages_that_are_helped_are_counted_with_both_corrections(
    planted: Path, made: tuple[Path, Report]
) -> None:
    lines = [line for line in read(planted, "languages-each") if line["loss"] == "S1W0M0"]
    helped = {x["language"] for x in lines if float(x["adjusted_low"]) > 0}
    found = {x["language"] for x in lines if x["p_benjamini_hochberg"] and float(x["p_benjamini_hochberg"]) <= 0.05}
    assert helped and helped <= found == {code for code in CODES if SCRIPTS[code] == "Cyrl"}
    (row,) = (row for row in made[1].tables[0].rows if row[0] == "de-en S1W0M0")
    assert row[7:] == (len(helped), 0, len(found), 0)
    assert row[5] == len(found) and row[6] == 0


def test_intervals_are_those_of_a_naive_bootstrap_over_shared_sentences_and_seeds(tmp_path: Path) -> None:
    write_planted(tmp_path)
    records = collect_transfers(tmp_path, everywhere=True).complete
    first, second = (e for (encoders,) in [measure_blocks(make_blocks(records, draws=DRAWS))] for e in encoders)
    base, *_ = (r for r in records if not r.cell.aligned)
    picks = resample_counts(SENTENCES, DRAWS, generator(SEED, "sentences", SHARED, SENTENCES))
    seeds = resample_counts(3, DRAWS, generator(SEED, "finetune", 15, 33, 42)) / 3
    estimates, drawn = [], []
    for encoder in (first, second):
        (record,) = encoder.records
        for group in encoder.groups:
            of_group = np.array(
                [record.outcomes[code].correct - base.outcomes[code].correct for code in group.languages]
            ).astype(float)  # (languages, seeds, sentences)
            estimates.append(of_group.mean())
            drawn.append([
                sum(
                    seeds[draw, s] * (of_group[:, s] @ picks[draw]).sum() / SENTENCES / len(group.languages)
                    for s in range(3)
                )
                for draw in range(DRAWS)
            ])  # fmt: skip
    points, sampled = np.array(estimates), np.array(drawn)
    error = sampled.std(axis=1, ddof=1)
    error[error < 1e-7] = 0
    largest = [
        max(abs(sampled[i, d] - points[i]) / error[i] for i in range(len(points)) if error[i]) for d in range(DRAWS)
    ]
    width = np.quantile(largest, 0.95) * error
    found = [measured.change for encoder in (first, second) for measured in encoder.groups.values()]
    assert [change.estimate for change in found] == pytest.approx(list(points))
    assert [change.adjusted_low for change in found] == pytest.approx(list(points - width), abs=1e-5)
    assert [change.low for change in found] == pytest.approx(list(np.quantile(sampled, 0.025, axis=1)), abs=1e-5)


def test_english_is_in_no_group_and_every_other_language_in_one_of_each_kind() -> None:
    codes = [language.code for language in all_languages()]
    groups = make_groups(codes, "en-kk")
    for kind in ("all", "pre-training", "pair", "script", "family"):
        members = [code for group in groups if group.kind == kind for code in group.languages]
        assert sorted(members) == sorted(set(codes) - {"eng"})
    by_name = {group.name: group.languages for group in groups}
    assert by_name["in the pair"] == ("kaz",) and "tat" in by_name["same script or family as the pair"]
    assert "deu" in by_name["same script or family as the pair"] and "kor" in by_name["neither"]
    assert "scripts of one language" in " ".join(by_name) and all(
        len(x) > 1 for n, x in by_name.items() if n != "in the pair"
    )


def test_few_languages_keep_groups_of_their_own() -> None:
    groups = make_groups(["deu", "eng", "kaz", "kor"], "de-en")
    assert {group.name for group in groups if group.kind == "script"} == {"Latin", "Cyrillic", "Hangul"}


def test_the_other_reports_leave_runs_in_all_languages_alone(planted: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no transfer run here"):
        write_report("table1", planted)
    for loss in (None, "S1W0M0"):
        write_transfer(tmp_path, "topic", "linear", "de-en" if loss else None, loss)
    for name in ("table1", "compare"):
        write_report(name, tmp_path)
    before = {path.name: path.read_bytes() for path in (tmp_path / "report").iterdir()}
    write_planted(tmp_path)
    for name in ("table1", "compare"):
        write_report(name, tmp_path)
    assert {path.name: path.read_bytes() for path in (tmp_path / "report").iterdir()} == before
    assert len(collect_methods(tmp_path)) == 2 and len(collect_transfers(tmp_path, everywhere=True).complete) == 3


def test_chosen_languages_are_no_survey(tmp_path: Path) -> None:
    write_transfer(tmp_path, "topic", "linear")
    with pytest.raises(UsageError, match="in all languages here; make some with 'xalign grid run languages"):
        write_report("languages", tmp_path)
    assert "languages" in write_all(tmp_path).missing


def test_the_figure_names_every_language_family_and_encoder(planted: Path) -> None:
    text = (planted / "report" / "languages.svg").read_text()
    assert all(f">{find(code).name}<" in text.replace("&#x27;", "'") for code in CODES)
    assert all(f">{name}<" in text for name in ("Atlantic-Congo", "Cyrillic", "de-en S1W0M0", "kk-ko S0W0M1"))


def test_without_a_base_there_are_no_changes_and_the_table_says_why(tmp_path: Path) -> None:
    write_transfer(tmp_path, "topic", "linear", "de-en", "S1W0M0", everywhere=True)
    report = write_report("languages", tmp_path)
    assert not report.figures and "base is missing" in " ".join(report.tables[0].notes)


def test_the_base_alone_is_a_report_without_encoders(tmp_path: Path) -> None:
    write_transfer(tmp_path, "topic", "linear", everywhere=True)
    assert not write_report("languages", tmp_path).figures


def test_english_alone_is_no_transfer_and_no_figure(tmp_path: Path) -> None:
    for encoder in ((), ("de-en", "S1W0M0")):
        write_transfer(tmp_path, "topic", "linear", *encoder, everywhere=True, correct={"eng": np.ones((3, 4), int)})
    report = write_report("languages", tmp_path)
    assert not report.figures and report.tables[0].rows == (
        ("de-en S1W0M0", None, None, None, "+0.0", 0, 0, 0, 0, 0, 0),
    )
