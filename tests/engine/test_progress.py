"""What a person sees outside a terminal: a line now and then, one at the end, none from other processes."""

from __future__ import annotations

import pytest

from xalign.engine import progress
from xalign.engine.progress import Reporter, reporting

LINE = {"loss": 1.5, "loss_S": 0.5, "loss_M": 1.0, "pairs_per_second": 1234.5, "tokens_per_second": 98765.0}


def run_five_steps(*, silent: bool = False, first: int = 1) -> None:
    with reporting("align de-en", 5, item="pairs", silent=silent) as shown:
        for step in range(first, 6):
            shown.step(step, LINE)
        shown.say("  step 5: recall 0.9")


def test_the_last_step_is_always_shown_with_loss_parts_and_rates(capsys: pytest.CaptureFixture[str]) -> None:
    run_five_steps()
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("align de-en  step 5/5  loss 1.5000 (S 0.500 M 1.000)  ")
    assert "1,234 pairs/s" in first and "98,765 tokens/s" in first and first.endswith("0:00 left")
    assert second == "  step 5: recall 0.9"


def test_lines_are_rare(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(0, 100_000, 4))
    monkeypatch.setattr(progress.time, "monotonic", lambda: float(next(clock)))
    with reporting("t", 1000, item="pairs", silent=False) as shown:
        for step in range(1, 101):
            shown.step(step, LINE)
    lines = capsys.readouterr().out.splitlines()
    assert 10 <= len(lines) <= 60


def test_a_silent_process_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    run_five_steps(silent=True)
    assert capsys.readouterr().out == ""


def test_time_left_counts_from_the_step_where_a_resumed_run_began(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    with reporting("t", 1000, item="pairs", silent=False) as shown:
        for step in range(901, 951):
            now[0] += 1.0
            shown.step(step, LINE)
    # 50 steps took 50 seconds and 50 are left, not 950.
    assert capsys.readouterr().out.splitlines()[-1].endswith("0:50 left")


def test_a_loss_without_parts_has_no_brackets() -> None:
    shown = Reporter("t", 5, "sentences", None, silent=False)
    line = {"loss": 2.0, "sentences_per_second": 10.0, "tokens_per_second": 20.0}
    assert shown.describe(line) == "loss 2.0000  10 sentences/s  20 tokens/s"


@pytest.mark.parametrize(("seconds", "text"), [(5.4, "0:05"), (65, "1:05"), (3600, "1:00:00"), (90061, "25:01:01")])
def test_durations_read_like_a_clock(seconds: float, text: str) -> None:
    assert progress._duration(seconds) == text
