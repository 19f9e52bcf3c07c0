"""What a shell offers: through the protocol that the installed completion script speaks."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny import tiny_data

from xalign.__main__ import run
from xalign.config import LOSSES, preset_names
from xalign.grid import TARGETS


@pytest.fixture
def offered(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):  # type: ignore[no-untyped-def]
    """What bash would offer for the last word of a line."""

    def ask(line: str) -> list[str]:
        monkeypatch.setenv("_XALIGN_COMPLETE", "complete_bash")
        monkeypatch.setenv("COMP_WORDS", line)
        monkeypatch.setenv("COMP_CWORD", str(len(line.split(" ")) - 1))
        with pytest.raises(SystemExit) as ended:  # so the protocol ends
            run([])
        assert ended.value.code == 0
        return capsys.readouterr().out.split()

    return ask


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("xalign align --loss ", list(LOSSES)),
        ("xalign align --loss S1W0", ["S1W0M0", "S1W0M1"]),
        ("xalign align --preset ", [*preset_names()]),
        ("xalign align --pair ", ["de-en", "en-kk", "ja-kk", "kk-ko"]),
        ("xalign align --precision b", ["bf16"]),
        ("xalign finetune --task ", ["pos", "topic"]),
        ("xalign finetune --mode ", ["full", "linear"]),
        ("xalign transfer --transform p", ["procrustes"]),
        ("xalign gradients --task t", ["topic"]),
        ("xalign langalign --architecture ", ["fc", "ae"]),
        ("xalign joint --combine p", ["pcgrad"]),
        ("xalign realign --freeze ", ["none", "lower", "upper"]),
        ("xalign grid plan tab", [name for name in TARGETS if name.startswith("tab")]),
        ("xalign grid run all --executor s", ["slurm"]),
        ("xalign report tableC", ["tableC-top5", "tableC-top10"]),
        ("xalign runs pr", ["prune"]),
        ("xalign doctor --j", ["--json"]),
    ],
)
def test_values_are_offered_where_they_are_known(
    line: str, expected: list[str], offered, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.chdir(tmp_path)
    assert sorted(offered(line)) == sorted(expected)


def test_the_pairs_are_those_of_the_data_directory(offered, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    data = tiny_data(tmp_path / "data")
    assert offered(f"xalign align --data {data} --pair ") == ["de-en", "en-kk"]
    assert offered(f"xalign align --data {data} --pair e") == ["en-kk"]


def test_a_preset_of_ones_own_is_offered(offered, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "mine.yaml").write_text("")
    monkeypatch.chdir(tmp_path)
    assert offered("xalign align --preset m") == ["mine.yaml"]


def test_the_reports_that_are_offered_are_those_that_there_are() -> None:
    from xalign.cli.report import REPORT_NAMES
    from xalign.report.catalogue import REPORTS

    assert set(REPORT_NAMES) == {*REPORTS, "all"}
