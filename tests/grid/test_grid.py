"""The grid makes what a table needs, each run once, and says what became of it."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import time
from pathlib import Path

import psutil
import pytest
from launching import environment, start
from tiny import tiny_data, tiny_encoder

from xalign.__main__ import run
from xalign.errors import UsageError, XalignError
from xalign.grid import Grid
from xalign.grid.estimates import Estimates
from xalign.grid.workers import begin_worker
from xalign.storage import read_json, write_json

MATRIX = ["grid.losses=S1W0M0,S0W0M1", "grid.tasks=topic,pos", "grid.modes=linear", "transfer.languages=deu,eng"]


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The options that name the matrix of these tests, without its runs directory."""
    root = tmp_path_factory.mktemp("inputs")
    options = ["--preset", "smoke", "--data", str(tiny_data(root / "data"))]
    options += ["--model", str(tiny_encoder(root / "encoder"))]
    return options + [word for text in MATRIX for word in ("--set", text)]


def grid_of(runs: Path, words: list[str], *more: str) -> Grid:
    given = dict(zip(words[:6:2], words[1:6:2], strict=True))
    return Grid.build(runs, preset="smoke", model=given["--model"], data=given["--data"], assignments=[*MATRIX, *more])


@pytest.fixture(scope="module")
def finished(words: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A runs directory with a complete small matrix, made in this process."""
    runs = tmp_path_factory.mktemp("finished") / "runs"
    assert run(["grid", "run", "table1", *words, "--runs", str(runs), "--tracking", "none"]) == 0
    return runs


def test_a_table_needs_every_run_after_the_one_it_reads(words: list[str], tmp_path: Path) -> None:
    jobs = grid_of(tmp_path, words).jobs("table1")
    names = [job.name for job in jobs]
    assert len(names) == len(set(names)) == 2 + 6 + 6
    assert all(job.needs is None or names.index(job.needs) < names.index(job.name) for job in jobs)
    assert {"finetune/pos/linear/base", "transfer/topic/linear/de-en/S1W0M0"} <= set(names)


def test_the_paper_s_matrix_has_28_alignments_and_116_fine_tunings(tmp_path: Path) -> None:
    grid = Grid.build(tmp_path, preset="paper", model="mini", data=None, assignments=[])
    phases = [job.phase for job in grid.jobs("table1")]
    assert [phases.count(phase) for phase in ("align", "finetune", "transfer")] == [28, 116, 116]
    seeds = len(grid.configuration(next(j for j in grid.jobs("finetune") if j.phase == "finetune")).seeds)
    assert 116 * seeds == 348


def test_the_paper_s_analyses_read_29_encoders_and_what_was_fine_tuned_from_them(tmp_path: Path) -> None:
    grid = Grid.build(tmp_path, preset="paper", model="mini", data=None, assignments=[])
    phases = [job.phase for job in grid.jobs("all")]
    counts = {phase: phases.count(phase) for phase in ("retrieve", "distances", "gradients")}
    assert counts == {"retrieve": 29, "distances": 29 * 3, "gradients": 28 * 2}
    assert {job.phase for job in grid.jobs("table2")} == {"align", "retrieve"}
    assert {job.options["mode"] for job in grid.jobs("figure1") if job.phase == "finetune"} == {"full"}
    assert {job.options["mode"] for job in grid.jobs("table3") if job.phase == "finetune"} == {"linear"}


def test_stages_add_every_encoder_that_alignment_kept(tmp_path: Path) -> None:
    grid = Grid.build(tmp_path, preset="paper", model="mini", data=None, assignments=[])
    jobs = grid.jobs("stages")
    assert sum(job.phase == "finetune" for job in jobs) * 3 == 684
    kept = next(job for job in jobs if job.name == "retrieve/de-en/S1W0M0-step3000")
    assert kept.needs == "align/de-en/S1W0M0" and kept.options["model"].endswith("S1W0M0/encoder-step3000")


def test_all_languages_need_linear_topic_heads_whatever_the_matrix_has(words: list[str], tmp_path: Path) -> None:
    # The languages that the others are tested in do not narrow it.
    grid = grid_of(tmp_path, words, "grid.tasks=pos", "grid.modes=full")
    jobs = grid.jobs("languages")
    names = [job.name for job in jobs]
    encoders = ["base", "de-en/S1W0M0", "de-en/S0W0M1"]
    assert names[2:] == [f"{what}/topic/linear/{e}" for what in ("finetune", "languages") for e in encoders]
    last = jobs[-1]
    assert last.phase == "transfer" and last.needs == "finetune/topic/linear/de-en/S0W0M1"
    assert grid.configuration(last).languages == ("all",)
    command = grid.command(last)
    assert command[command.index("--languages") + 1] == "all" and "transfer.languages=deu,eng" not in command
    assert not {"languages"} & {job.name.split("/")[0] for job in grid.jobs("all")}


def test_all_languages_are_planned_made_once_and_reported(
    words: list[str], finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = copied(finished, tmp_path)
    options = [*words, "--runs", str(runs)]
    assert run(["grid", "plan", "languages", *options]) == 0
    assert "3 × languages/topic/linear: about" in capsys.readouterr().out
    assert run(["grid", "run", "languages", *options, "--tracking", "none"]) == 0
    assert "3 of 8 runs to make" in capsys.readouterr().out
    assert set(read_json(runs / "languages/topic/linear/base/result.json")["accuracy"]) == {"deu", "eng", "kaz"}
    assert set(read_json(runs / "transfer/topic/linear/base/result.json")["accuracy"]) == {"deu", "eng"}
    for target in ("languages", "table1"):
        assert run(["grid", "status", target, *options]) == 0
    assert [x for x in capsys.readouterr().out.splitlines() if x.endswith("complete")] == ["8 complete", "14 complete"]
    assert run(["report", "languages", "--runs", str(runs), "--tracking", "none"]) == 0
    assert "Change by group of languages" in capsys.readouterr().out
    assert (runs / "report/languages.png").is_file()


def test_all_analyses_and_stages_end_in_reports_and_a_page(tmp_path: Path, words: list[str]) -> None:
    runs = tmp_path / "runs"
    small = ["--set", "grid.losses=S1W0M0", "--set", "grid.tasks=topic"]
    for target in ("all", "stages"):
        assert run(["grid", "run", target, *words, *small, "--runs", str(runs), "--tracking", "none"]) == 0
    assert run(["report", "all", "--runs", str(runs), "--tracking", "none"]) == 0
    made = {path.name for path in (runs / "report").iterdir()}
    reports = ("table1", "table2", "tableC-top5", "tableC-top10", "table3", "figure1", "gradients", "predict", "stages")
    assert {f"{name}.md" for name in reports} | {"index.html", "table3.png", "stages.svg"} <= made
    assert {path.name for path in (runs / "transfer/topic/linear/de-en").iterdir()} == {"S1W0M0", "S1W0M0-step3"}


def test_a_complete_matrix_is_not_made_again(
    words: list[str], finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.stat().st_mtime_ns for path in finished.rglob("result.json")}
    assert len(before) == 14
    assert run(["grid", "run", "table1", *words, "--runs", str(finished), "--tracking", "none"]) == 0
    assert "0 of 14 runs to make" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in finished.rglob("result.json")} == before
    assert run(["grid", "status", "table1", *words, "--runs", str(finished)]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "14 complete"


def test_the_plan_prints_lines_that_make_the_very_runs(
    words: list[str], finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import shlex

    assert run(["grid", "plan", "align", *words, "--runs", str(tmp_path / "runs")]) == 0
    lines = capsys.readouterr().out.splitlines()
    command = next(line for line in lines if line.startswith("xalign align") and "S1W0M0" in line)
    assert run([*shlex.split(command)[1:], "--tracking", "none"]) == 0
    keys = [read_json(runs / "align/de-en/S1W0M0/run.json")["key"] for runs in (finished, tmp_path / "runs")]
    assert keys[0] == keys[1]
    assert any("2 of 2 runs to make" in line for line in lines)


def copied(finished: Path, tmp_path: Path) -> Path:
    """The finished matrix at another place, its runs naming each other there."""
    runs = tmp_path / "runs"
    shutil.copytree(finished, runs)
    for path in runs.rglob("run.json"):
        path.write_text(path.read_text().replace(str(finished), str(runs)))
    return runs


def test_the_plan_says_how_long_runs_of_a_kind_took(
    words: list[str], finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = copied(finished, tmp_path)
    for name in ("transfer/topic/linear/base", "align/de-en/S1W0M0"):
        shutil.rmtree(runs / name)
    assert run(["grid", "plan", "table1", *words, "--runs", str(runs)]) == 0
    text = capsys.readouterr().out
    taken = read_json(finished / "transfer/topic/linear/de-en/S1W0M0" / "result.json")["seconds"]
    assert taken > 0 and "1 × transfer/topic/linear: about" in text and "s each, measured" in text
    assert re.search(r"1 × align S1W0M0: about .* by its operations at", text)  # the other one had another loss


def test_operations_of_a_plan_follow_from_steps_losses_and_sentences(words: list[str], tmp_path: Path) -> None:
    grid = grid_of(tmp_path, words, "grid.losses=S1W0M0,S0W0M1,S1W0M1", "grid.modes=full,linear")
    estimates = Estimates(grid.model)
    jobs = {job.name: job for job in grid.jobs("all")}

    def operations(name: str, *more: str) -> float:
        changed = grid_of(tmp_path, words, "grid.losses=S1W0M0,S0W0M1,S1W0M1", "grid.modes=full,linear", *more)
        return estimates.operations(changed, jobs[name])

    both = operations("align/de-en/S1W0M0") + operations("align/de-en/S0W0M1")
    assert operations("align/de-en/S1W0M1") == pytest.approx(both)
    steps = grid.configuration(jobs["align/de-en/S1W0M0"]).steps
    doubled = operations("align/de-en/S1W0M0", f"align.steps={2 * steps}")
    assert doubled == pytest.approx(2 * operations("align/de-en/S1W0M0"))
    full, linear = (operations(f"finetune/topic/{mode}/base", "finetune.seeds=1,2") for mode in ("full", "linear"))
    epochs = grid.configuration(jobs["finetune/topic/full/base"]).epochs
    assert full == pytest.approx(3 * 2 * epochs * linear)  # backward costs twice a forward pass
    assert all(estimates.seconds(grid, job) > 0 for job in jobs.values())


def test_overwriting_a_stale_run_makes_anew_what_was_made_from_it(
    words: list[str], finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = copied(finished, tmp_path)
    options = [*words, "--set", "finetune.epochs=2", "--runs", str(runs)]
    assert run(["grid", "run", "table1", *options, "--overwrite", "--tracking", "none"]) == 0
    assert "12 of 14 runs to make" in capsys.readouterr().out  # six fine-tunings, and the transfers that read them
    assert run(["grid", "status", "table1", *options]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "14 complete"


def test_what_was_made_from_a_changed_run_is_stale_and_is_not_mixed(
    words: list[str], finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = copied(finished, tmp_path)
    record = read_json(runs / "align/de-en/S1W0M0/run.json")
    write_json(runs / "align/de-en/S1W0M0/run.json", record | {"key": "0" * 64})
    states = {job.name: grid_of(runs, words).state(job) for job in grid_of(runs, words).jobs("table1")}
    assert states["finetune/topic/linear/de-en/S1W0M0"] == "stale"
    assert states["finetune/topic/linear/base"] == "complete"
    assert run(["grid", "run", "table1", *words, "--runs", str(runs), "--tracking", "none"]) == 1
    assert "stale" in capsys.readouterr().err


@pytest.mark.parametrize(("option", "other"), [("grad_cache", "true"), ("adapter_targets", "query")])
def test_a_run_from_before_an_option_existed_is_complete_while_the_option_has_its_default(
    option: str, other: str, words: list[str], finished: Path, tmp_path: Path
) -> None:
    runs = copied(finished, tmp_path)
    record = read_json(runs / "align/de-en/S1W0M0/run.json")
    del record["config"][option]
    write_json(runs / "align/de-en/S1W0M0/run.json", record)
    job = next(job for job in grid_of(runs, words).jobs("align") if "S1W0M0" in job.name)
    assert grid_of(runs, words).state(job) == "complete"
    assert grid_of(runs, words, f"align.{option}={other}").state(job) == "stale"


def test_other_options_make_a_run_stale(words: list[str], finished: Path) -> None:
    grid = grid_of(finished, words, "align.steps=7")
    states = {job.name: grid.state(job) for job in grid.jobs("align")}
    assert set(states.values()) == {"stale"}


def test_a_failed_run_leaves_its_reason_the_others_go_on_and_what_depends_on_it_is_left_out(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = tmp_path / "runs"
    broken = ["--set", "align.learning_rate=1e30", "--set", "align.clip=0", "--set", "align.warmup=0"]
    broken += ["--set", "grid.tasks=topic"]
    assert run(["grid", "run", "table1", *words, *broken, "--runs", str(runs), "--tracking", "none"]) == 1
    errors = capsys.readouterr().err
    assert "not finite" in read_json(runs / "align/de-en/S1W0M0/failed.json")["error"]
    assert (runs / "transfer/topic/linear/base/result.json").is_file()
    assert not (runs / "finetune/topic/linear/de-en/S1W0M0").exists()
    assert "Traceback" not in errors
    assert run(["grid", "status", "table1", *words, *broken, "--runs", str(runs)]) == 0
    assert "not finite" in capsys.readouterr().out


def test_two_workers_find_what_one_process_finds(words: list[str], finished: Path, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    few = ["--set", "grid.tasks=topic", "--set", "grid.losses=S1W0M0"]
    assert (
        run(["grid", "run", "table1", *words, *few, "--runs", str(runs), "--workers", "2", "--tracking", "none"]) == 0
    )
    for name in ("transfer/topic/linear/base", "transfer/topic/linear/de-en/S1W0M0"):
        ours, theirs = (read_json(root / name / "result.json") for root in (runs, finished))
        for language, accuracy in theirs["accuracy"].items():
            # One sentence may tip over: results are bit for bit equal at equal thread counts alone.
            assert ours["accuracy"][language] == pytest.approx(accuracy, abs=0.05)


@pytest.mark.parametrize(
    "number", [signal.SIGTERM, signal.SIGKILL, pytest.param(signal.SIGINT, marks=pytest.mark.full("like SIGTERM"))]
)
def test_no_worker_outlives_a_grid_that_is_stopped_and_what_was_reached_is_saved(
    number: signal.Signals, words: list[str], tmp_path: Path
) -> None:
    runs = tmp_path / "runs"
    long = ["--set", "align.steps=100000", "--set", "align.save_every=100000", "--set", "align.max_pairs=100"]
    head = start("grid", "run", "align", *words, *long, "--runs", runs, "--workers", "2", "--tracking", "none")
    metrics = [runs / "align" / "de-en" / loss / "metrics.jsonl" for loss in ("S1W0M0", "S0W0M1")]
    deadline = time.monotonic() + 120
    while not all(path.is_file() and path.read_text().count("\n") > 3 for path in metrics):
        assert head.poll() is None and time.monotonic() < deadline
        time.sleep(0.2)
    workers = psutil.Process(head.pid).children(recursive=True)
    head.send_signal(number)
    _, errors = head.communicate(timeout=60)
    _, alive = psutil.wait_procs(workers, timeout=60)
    assert not alive
    for path in metrics:
        [saved] = (path.parent / "checkpoints").iterdir()
        assert saved.name.startswith("step-") and not (path.parent / "result.json").exists()
    if number != signal.SIGKILL:
        lines = errors.splitlines()
        assert head.returncode == 1 and "run the grid again" in lines[-1] and "Traceback" not in errors


def test_each_training_run_becomes_a_launch_of_its_own(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment().items():
        monkeypatch.setenv(name, value)
    runs = tmp_path / "runs"
    only = ["--set", "grid.losses=S1W0M0", "--launch", "accelerate_configs/multi_cpu.yaml"]
    assert run(["grid", "run", "align", *words, *only, "--runs", str(runs), "--tracking", "none"]) == 0
    assert json.loads((runs / "align/de-en/S1W0M0/environment.json").read_text())["num_processes"] == 2


def test_fine_tuned_encoders_can_be_dropped_after_their_transfer(words: list[str], tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    full = ["--set", "grid.tasks=topic", "--set", "grid.modes=full", "--set", "grid.losses=S1W0M0"]
    command = ["grid", "run", "table1", *words, *full, "--runs", str(runs), "--tracking", "none", "--keep", "heads"]
    assert run(command) == 0
    finetuned = runs / "finetune/topic/full/base"
    assert (finetuned / "head").is_dir() and not list(finetuned.glob("encoder-seed*"))
    assert run(command) == 0


def test_an_unknown_target_lists_those_that_exist(tmp_path: Path, words: list[str]) -> None:
    with pytest.raises(UsageError, match=r"align, finetune, .* table1, table2"):
        grid_of(tmp_path, words).jobs("table9")


def test_a_grid_under_a_launcher_is_refused_with_the_option_that_does_it(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "no")
    with pytest.raises(XalignError, match="--launch"):
        grid_of(tmp_path, words).run("align")


@pytest.mark.parametrize(
    ("visible", "gpus", "expected"),
    [(None, 2, ["0", "1", "0"]), ("4,6", 8, ["4", "6", "4"]), (None, 0, [None, None, None])],
)
def test_workers_share_the_gpus_that_there_are(
    visible: str | None, gpus: int, expected: list[str | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    from queue import SimpleQueue

    monkeypatch.setattr("torch.cuda.device_count", lambda: gpus)
    monkeypatch.setattr("torch.set_num_threads", lambda count: None)
    found = []
    for number in range(3):
        with monkeypatch.context() as each:
            each.delenv("CUDA_VISIBLE_DEVICES", raising=False)
            if visible is not None:
                each.setenv("CUDA_VISIBLE_DEVICES", visible)
            numbers: SimpleQueue[int] = SimpleQueue()
            numbers.put(number)
            begin_worker(numbers, 3)
            found.append(os.environ.get("CUDA_VISIBLE_DEVICES"))
            os.environ.pop("CUDA_VISIBLE_DEVICES", None)
    assert found == expected
