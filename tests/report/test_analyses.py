from __future__ import annotations

from pathlib import Path

import pytest
from synthetic import write_run
from synthetic_analyses import write_distances, write_gradients, write_retrieval

from xalign.errors import UsageError, XalignError
from xalign.report.analyses import collect_analyses, require_comparable, select_step
from xalign.report.averages import OTHER, OWN, across_models, by_language_pair, language_pair, relation

SMALL = {"pairs": ("deu-eng",), "depth": 3}


def constant(value: float) -> object:
    """The same cosine everywhere."""
    return lambda source, target, layer: value


def write(runs: Path, value: float = 0.5, pair: str | None = None, loss: str | None = None, **options: object) -> Path:
    """A small retrieve run."""
    return write_retrieval(runs, constant(value), pair, loss, **SMALL, **options)  # type: ignore[arg-type]


def test_lines_are_typed_and_empty_fields_are_none(tmp_path: Path) -> None:
    write_gradients(tmp_path, 0.1, "de-en", "S1W0M0", "pos", languages=("deu", "eng"))
    (record,) = collect_analyses(tmp_path, "gradients").complete
    assert (record.pair, record.loss, record.task, record.align_step) == ("de-en", "S1W0M0", "pos", 6000)
    lines = {(line["first"], line["group"]): line for line in record.lines["gradients"]}
    assert lines["pos", "shared"]["cosine"] == 0.1
    assert lines["pos", "layer12"]["cosine"] is None


def test_half_finished_runs_are_listed_and_never_used(tmp_path: Path) -> None:
    write(tmp_path)
    write(tmp_path, 0.9, "de-en", "S1W0M0", state="failed")
    write(tmp_path, 0.9, "de-en", "S0W1M0", state="incomplete")
    found = collect_analyses(tmp_path, "retrieve")
    assert [str(record) for record in found.complete] == ["encoder/base"]
    described = " ".join(map(str, found.unfinished))
    assert "NaN in the checkpoint" in described and "incomplete: " in described


def test_without_complete_runs_the_command_that_makes_them_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such directory"):
        collect_analyses(tmp_path / "nowhere", "retrieve")
    write(tmp_path, state="incomplete")
    with pytest.raises(UsageError, match=r"no complete retrieve run here, and 1 unfinished; .*grid run table2"):
        collect_analyses(tmp_path, "retrieve")
    with pytest.raises(UsageError, match=r"grid run table3"):
        collect_analyses(tmp_path, "gradients")


@pytest.mark.parametrize("broken", ["nan", "inf", "much"])
def test_a_value_that_is_no_number_is_named_by_line(tmp_path: Path, broken: str) -> None:
    path = write(tmp_path) / "retrieval.csv"
    lines = path.read_text().splitlines()
    lines[2] = lines[2].replace("0.5", broken, 1)
    path.write_text("\n".join(lines))
    with pytest.raises(XalignError, match=rf"retrieval\.csv:3: mean_cosine is '{broken}'"):
        collect_analyses(tmp_path, "retrieve")


def test_a_missing_file_or_column_is_named(tmp_path: Path) -> None:
    path = write(tmp_path) / "retrieval.csv"
    path.write_text(path.read_text().replace("separation", "distance", 1))
    with pytest.raises(XalignError, match="lacks the column separation"):
        collect_analyses(tmp_path, "retrieve")
    path.unlink()
    with pytest.raises(XalignError, match=r"retrieval\.csv: missing beside a result\.json"):
        collect_analyses(tmp_path, "retrieve")


def test_an_alignment_made_again_makes_its_analyses_stale(tmp_path: Path) -> None:
    write(tmp_path, 0.5, "de-en", "S1W0M0")
    write_run(tmp_path / "align/de-en/S1W0M0", "align", "align/de-en/S1W0M0", {"steps": 9}, {"pair": "de-en"})
    with pytest.raises(XalignError, match=r"retrieve/de-en/S1W0M0: stale"):
        collect_analyses(tmp_path, "retrieve")


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"testbed": True}, "testbed is mixed with real data"),
        ({"encoder": "mbert"}, r"base encoder \(mini and mbert\)"),
        ({"weights": "w1"}, r"weights of the base encoder \(w0 and w1\)"),
        ({"options": {"pooling": "cls"}}, r"retrieve\.pooling"),
        ({"data": {"deu.devtest": "d2"}}, r"different versions of deu\.devtest"),
    ],
)
def test_what_cannot_be_compared_is_refused_in_one_line(tmp_path: Path, other: dict[str, object], message: str) -> None:
    write(tmp_path, data={"deu.devtest": "d1"})
    write(tmp_path, 0.6, "de-en", "S1W0M0", **{"data": {"deu.devtest": "d1"}, **other})
    with pytest.raises(XalignError, match=message) as caught:
        require_comparable(collect_analyses(tmp_path, "retrieve").complete, "retrieve")
    assert "\n" not in str(caught.value)


def test_two_runs_for_one_place_are_refused(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        write_distances(tmp_path / folder, constant(0.3), task="pos", pairs=("deu-eng",))  # type: ignore[arg-type]
    with pytest.raises(XalignError, match="two distances runs for pos/base"):
        require_comparable(collect_analyses(tmp_path, "distances").complete, "distances")


def test_the_last_step_is_selected_unless_another_is_asked_for(tmp_path: Path) -> None:
    write(tmp_path)
    for step in (3000, 6000):
        write(tmp_path, 0.6, "de-en", "S1W0M0", align_step=step)
    found = collect_analyses(tmp_path, "retrieve")
    selected, left_out = select_step(found, None)
    assert [record.align_step for record in selected] == [None, 6000] and left_out == [3000]
    assert [record.align_step for record in select_step(found, 3000)[0]] == [None, 3000]
    with pytest.raises(UsageError, match="there are: 3000, 6000"):
        select_step(found, 7)


def test_both_directions_are_one_pair_under_the_paper_s_name() -> None:
    lines = [
        {"source": "deu", "target": "eng", "x": 0.2},
        {"source": "eng", "target": "deu", "x": 0.4},
        {"source": "eng", "target": "fra", "x": None},
    ]
    assert by_language_pair(lines, "x") == {"deu-eng": pytest.approx(0.3)}
    assert language_pair("fra", "deu") == "deu-fra" and language_pair("xho", "eng") == "eng-xho"


def test_a_cell_averages_within_models_first_and_ranges_over_them() -> None:
    models = {("de-en", "S1W0M0"): {"a": 0.1, "b": 0.3}, ("en-kk", "S1W0M0"): {"a": 0.5, "b": 0.7}}
    cell = across_models(models, "S1W0M0", ["a", "b"])
    assert cell is not None and cell.models == 2
    assert [cell.mean, cell.low, cell.high] == pytest.approx([0.4, 0.2, 0.6])
    assert across_models(models, "S0W1M0", ["a"]) is None


@pytest.mark.parametrize(
    ("aligned", "pair", "expected"),
    [("de-en", "deu-eng", OWN), ("kk-ko", "kor-kaz", OWN), ("en-kk", "kor-eng", "shares one language"),
     ("de-en", "hin-kas", OTHER)],
)  # fmt: skip
def test_the_relation_of_a_pair_to_the_alignment(aligned: str, pair: str, expected: str) -> None:
    assert relation(aligned, pair) == expected
