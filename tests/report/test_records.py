from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from synthetic import write_grid, write_run, write_transfer

from xalign.errors import UsageError, XalignError
from xalign.report.consistency import departures_from_paper, require_comparable, select_step
from xalign.report.records import Cell, collect_transfers
from xalign.runs import find_runs


def test_outcomes_become_accuracies_by_seed(tmp_path: Path) -> None:
    correct = {"deu": np.array([[3, 0], [1, 1]]), "eng": np.array([[4], [2]])}
    write_transfer(
        tmp_path, "pos", "full", correct=correct, total={"deu": np.array([3, 2]), "eng": np.array([4])}, seeds=(33, 15)
    )
    (record,) = collect_transfers(tmp_path).complete
    assert record.cell == Cell("pos", "full", "base", "S0W0M0") and record.seeds == (15, 33)
    assert record.languages == ("deu", "eng")
    np.testing.assert_allclose(record.outcomes["deu"].accuracy, [2 / 5, 3 / 5])
    np.testing.assert_array_equal(record.outcomes["deu"].total, [3, 2])
    assert record.measures["macro_f1"]["eng"] == pytest.approx(0.75)


def test_runs_are_found_at_any_depth_and_others_are_ignored(tmp_path: Path) -> None:
    write_transfer(tmp_path / "a" / "b", "pos", "full", "de-en", "S1W0M0")
    transfers = collect_transfers(tmp_path)
    assert [record.cell.loss for record in transfers.complete] == ["S1W0M0"]
    assert transfers.complete[0].chain.gone == ()


def test_mlflow_s_copies_of_run_directories_are_no_runs(tmp_path: Path) -> None:
    write_transfer(tmp_path, "pos", "full")
    copies = tmp_path / "mlartifacts" / "0a1b" / "artifacts"
    write_run(copies, "transfer", "transfer/pos/full/base", {}, {})
    (copies / "result.json").write_text("{}")
    assert len(collect_transfers(tmp_path).complete) == 1
    assert len(list(find_runs(tmp_path))) == len(list(tmp_path.rglob("run.json"))) - 1


def test_records_with_the_same_sentences_share_their_ids(tmp_path: Path) -> None:
    write_transfer(tmp_path, "pos", "full")
    write_transfer(tmp_path, "pos", "linear")
    first, second = collect_transfers(tmp_path).complete
    assert first.outcomes["deu"].sentence_ids is second.outcomes["eng"].sentence_ids


def test_unfinished_runs_are_listed_with_their_state(tmp_path: Path) -> None:
    write_transfer(tmp_path, "pos", "full", state="failed")
    write_transfer(tmp_path, "pos", "linear", "de-en", "S1W0M0", state="incomplete")
    unfinished = {str(run.cell): (run.state, run.error) for run in collect_transfers(tmp_path).unfinished}
    assert unfinished == {
        "pos/full/base": ("failed", "loss is not finite"),
        "pos/linear/de-en/S1W0M0": ("incomplete", ""),
    }


def test_methods_have_no_place_in_the_paper_s_tables_but_can_be_asked_for(tmp_path: Path) -> None:
    write_transfer(tmp_path, "pos", "full")
    write_transfer(tmp_path, "pos", "full", "de-en", "S1W0M0", method="lora")
    assert [record.method for record in collect_transfers(tmp_path).complete] == [None]
    assert {record.method for record in collect_transfers(tmp_path, methods=True).complete} == {None, "lora"}


def test_no_directory_and_no_runs_are_usage_errors(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such directory"):
        collect_transfers(tmp_path / "nowhere")
    with pytest.raises(UsageError, match="no transfer run"):
        collect_transfers(tmp_path)


REPEATED = '{"language": "deu", "seed": 15, "sentence_id": "0", "correct": 1, "total": 1}'
IMPOSSIBLE = '{"language": "deu", "seed": 15, "sentence_id": "new", "correct": 2, "total": 1}'


@pytest.mark.parametrize("line", ["{", '{"language": "deu"}', "[]", REPEATED, IMPOSSIBLE])
def test_a_broken_or_repeated_outcome_is_named_by_line(tmp_path: Path, line: str) -> None:
    outcomes = write_transfer(tmp_path, "pos", "full") / "outcomes.jsonl"
    outcomes.write_text(outcomes.read_text() + line + "\n")
    with pytest.raises(XalignError, match=r"outcomes\.jsonl:37: "):
        collect_transfers(tmp_path)


def test_a_seed_without_some_sentence_is_refused(tmp_path: Path) -> None:
    outcomes = write_transfer(tmp_path, "pos", "full") / "outcomes.jsonl"
    outcomes.write_text("".join(outcomes.read_text().splitlines(keepends=True)[:-1]))
    with pytest.raises(XalignError, match="not tested on the same sentences"):
        collect_transfers(tmp_path)


def test_outcomes_that_contradict_the_result_are_refused(tmp_path: Path) -> None:
    result = write_transfer(tmp_path, "pos", "full") / "result.json"
    content = json.loads(result.read_text())
    content["accuracy"]["kaz"]["33"] = 0.9
    result.write_text(json.dumps(content))
    with pytest.raises(XalignError, match=r"kaz, seed 33: accuracy 0\.5000, but result\.json says 0\.9"):
        collect_transfers(tmp_path)


def test_a_run_json_that_lacks_a_field_is_named(tmp_path: Path) -> None:
    path = write_transfer(tmp_path, "pos", "full") / "run.json"
    content = json.loads(path.read_text())
    del content["lineage"]
    path.write_text(json.dumps(content))
    with pytest.raises(XalignError, match=r"run\.json: lacks lineage"):
        collect_transfers(tmp_path)


def test_an_upstream_made_again_makes_results_stale_through_the_whole_chain(tmp_path: Path) -> None:
    write_transfer(tmp_path, "pos", "full", "de-en", "S1W0M0")
    write_run(tmp_path / "align/de-en/S1W0M0", "align", "align/de-en/S1W0M0", {"steps": 9}, {"pair": "de-en"})
    with pytest.raises(XalignError, match=r"finetune/pos/full/de-en/S1W0M0: stale"):
        collect_transfers(tmp_path)


def test_staleness_is_judged_in_the_place_to_which_runs_have_moved(tmp_path: Path) -> None:
    write_transfer(tmp_path / "old", "pos", "full", "de-en", "S1W0M0")
    (tmp_path / "old").rename(tmp_path / "new")
    assert collect_transfers(tmp_path / "new" / "transfer").complete[0].chain.gone == ()
    write_transfer(tmp_path / "old", "pos", "full", "de-en", "S1W0M0", align={"steps": 9})
    assert len(collect_transfers(tmp_path / "new").complete) == 1


def test_an_upstream_that_is_gone_is_remembered(tmp_path: Path) -> None:
    write_transfer(tmp_path, "pos", "full")
    (tmp_path / "finetune/pos/full/base/run.json").unlink()
    (record,) = collect_transfers(tmp_path).complete
    assert record.chain.gone == (str(tmp_path / "finetune/pos/full/base"),)
    require_comparable([record])


def two(tmp_path: Path, **other: object) -> None:
    """A base, and an aligned run that differs from it in `other`."""
    write_transfer(tmp_path, "topic", "linear", data={"eng.tsv": "d1"})
    write_transfer(tmp_path, "topic", "linear", "de-en", "S1W0M0", **{"data": {"eng.tsv": "d1"}, **other})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"testbed": True}, "testbed is mixed with real data"),
        ({"encoder": "mbert"}, r"base encoder \(mini and mbert\)"),
        ({"weights": "w1"}, r"weights of the base encoder \(w0 and w1\)"),
        ({"finetune": {"epochs": 3}}, r"finetune\.epochs \(15 and 3\)"),
        ({"seeds": (15, 34, 42)}, "fine-tuning seeds"),
        ({"correct": {"deu": np.ones((3, 4), int)}}, "languages"),
        ({"data": {"eng.tsv": "d2"}}, r"different versions of eng\.tsv"),
    ],
)
def test_what_cannot_be_compared_is_refused_in_one_line(tmp_path: Path, other: dict[str, object], message: str) -> None:
    two(tmp_path)
    require_comparable(collect_transfers(tmp_path).complete)
    two(tmp_path, **other)
    with pytest.raises(XalignError, match=message) as caught:
        require_comparable(collect_transfers(tmp_path).complete)
    assert "\n" not in str(caught.value)


def test_alignment_seeds_of_one_cell_must_share_their_options(tmp_path: Path) -> None:
    write_transfer(tmp_path, "pos", "full", "de-en", "S1W0M0")
    write_transfer(tmp_path, "pos", "full", "de-en", "S1W0M0", align_seed=43)
    require_comparable(collect_transfers(tmp_path).complete)
    write_transfer(tmp_path, "pos", "full", "de-en", "S1W0M0", align_seed=44, align={"steps": 100})
    with pytest.raises(XalignError, match=r"align\.steps"):
        require_comparable(collect_transfers(tmp_path).complete)


def test_two_runs_for_one_place_are_refused(tmp_path: Path) -> None:
    write_transfer(tmp_path / "a", "pos", "full")
    write_transfer(tmp_path / "b", "pos", "full")
    with pytest.raises(XalignError, match="two runs for pos/full/base"):
        require_comparable(collect_transfers(tmp_path).complete)


def test_the_last_step_is_selected_unless_another_is_asked_for(tmp_path: Path) -> None:
    write_transfer(tmp_path, "pos", "full")
    for step in (3000, 6000):
        write_transfer(tmp_path, "pos", "full", "de-en", "S1W0M0", align_step=step)
    transfers = collect_transfers(tmp_path)
    selected, left_out = select_step(transfers, None)
    assert [record.align_step for record in selected.complete] == [None, 6000] and left_out == [3000]
    assert [record.align_step for record in select_step(transfers, 3000)[0].complete] == [None, 3000]
    with pytest.raises(UsageError, match="there are: 3000, 6000"):
        select_step(transfers, 5)


def test_departures_name_the_paper_value_and_nothing_else(tmp_path: Path) -> None:
    write_grid(tmp_path, tasks=("topic",), modes=("full",), sentences=4)
    assert departures_from_paper(collect_transfers(tmp_path).complete) == []
    options = {"epochs": 2, "learning_rate": 2e-5}
    write_grid(tmp_path, tasks=("topic",), modes=("full",), sentences=4, finetune=options, seeds=(1, 2, 3))
    found = departures_from_paper(collect_transfers(tmp_path).complete)
    assert sorted(found) == ["finetune.epochs 2 (not 15)", "finetune.seeds 1, 2, 3 (not 15, 33, 42)"]


def test_a_run_older_than_an_option_stands_beside_one_that_names_its_default(tmp_path: Path) -> None:
    young = {"epochs": 15, "codeswitch": 0.0, "codeswitch_languages": []}
    write_transfer(tmp_path, "pos", "full", finetune={"epochs": 15})
    write_transfer(tmp_path, "pos", "full", "de-en", "S1W0M0", finetune=young)
    require_comparable(collect_transfers(tmp_path).complete)
    write_transfer(tmp_path, "pos", "full", "de-en", "S1W0M1", finetune=young | {"codeswitch": 0.5})
    with pytest.raises(XalignError, match=r"finetune\.codeswitch"):
        require_comparable(collect_transfers(tmp_path).complete)
