from __future__ import annotations

import logging
import re
import shlex
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import pytest
from synthetic import write_grid, write_transfer
from synthetic_analyses import write_everything, write_realignment, write_retrieval

from xalign.__main__ import run
from xalign.errors import UsageError
from xalign.grid import TARGETS
from xalign.report import REPORTS, AllReports, write_all, write_report

FEW = ("S0W0M1", "S1W0M0")


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> AllReports:
    """All runs of three models on the testbed, and all reports on them."""
    root = tmp_path_factory.mktemp("runs")
    few = {"language_pairs": ("deu-eng", "kor-kaz", "kor-fra"), "languages": ("deu", "eng", "kaz")}
    write_everything(root, pairs=("de-en", "kk-ko"), losses=FEW, testbed=True, **few)
    write_grid(root, pairs=("de-en",), tasks=("pos",), modes=("full",), sentences=6, testbed=True)
    write_realignment(root, "before", "dictionary", 0.5, 0.6, testbed=True, tested=False)
    for encoder in ((), ("de-en", "S1W0M0")):
        write_transfer(root, "topic", "linear", *encoder, testbed=True, everywhere=True)
    return write_all(root)


@pytest.fixture(scope="module")
def folder(everything: AllReports) -> Path:
    """Where all files of the reports are."""
    return everything.page.parent


@pytest.fixture(scope="module")
def html(everything: AllReports) -> str:
    """The page's text."""
    return everything.page.read_text(encoding="utf-8")


def commands(html: str) -> list[str]:
    """Every command that the page tells its reader to type."""
    blocks = re.findall(r'<pre class="command">(.*?)</pre>', html, re.S)
    return [unescape(line) for block in blocks for line in block.splitlines()]


class Balance(HTMLParser):
    """Counts elements that were closed in another order than they were opened."""

    VOID = ("meta", "br", "link", "img")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.wrong = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.ids += [value or "" for name, value in attrs if name == "id"]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.wrong += 1


def test_every_report_is_made_in_every_format(folder: Path) -> None:
    for name in REPORTS:
        for suffix in ("md", "tex"):
            assert (folder / f"{name}.{suffix}").stat().st_size > 0
        assert list(folder.glob(f"{name}*.csv"))
    figures = {path.stem for path in folder.glob("*.svg")}
    assert figures and figures == {path.stem for path in folder.glob("*.png")}


def test_the_page_holds_every_table_and_figure_of_every_report(everything: AllReports, html: str) -> None:
    made = everything.made
    assert set(made) == set(REPORTS)
    text = unescape(html)
    for name, report in made.items():
        assert f'<section id="{name}">' in html
        assert all(table.title in text for table in report.tables)
        assert all(f'id="{drawing.name}-figure_1"' in html for drawing in report.figures)


def test_the_page_needs_nothing_from_elsewhere(html: str) -> None:
    assert not re.search(r'(?:src|href)\s*=\s*["\']?(?:https?:)?//', html)
    assert not re.search(r"@import|url\(\s*[\"']?(?!#)", html)
    assert "<script" not in html and "<link" not in html
    assert all(target.startswith("#") for target in re.findall(r'href="([^"]+)"', html))


def test_the_page_is_well_formed_and_its_links_lead_somewhere(html: str) -> None:
    page = Balance()
    page.feed(html)
    assert page.wrong == 0 and page.open == []
    assert len(set(page.ids)) == len(page.ids)
    assert {target for target in re.findall(r'<a href="#([^"]+)"', html)} <= set(page.ids)


def test_every_command_on_the_page_exists(html: str) -> None:
    import typer

    from xalign.cli.app import app

    found = commands(html)
    assert any(command.startswith("xalign report table3 ") for command in found)
    for command in found:
        words = shlex.split(command)
        assert words[0] == "xalign"
        parser = typer.main.get_command(app)
        while hasattr(parser, "commands"):
            parser, words = parser.commands[words[1]], words[1:]
        context = parser.make_context("xalign", words[1:])  # refuses unknown options
        if parser.name == "report":
            assert context.params["name"] in (*REPORTS, "all")
        else:
            assert context.params["target"] in TARGETS


def test_the_head_says_testbed_encoder_and_dates(html: str) -> None:
    head = html[html.index("<header>") : html.index("</header>")]
    assert "these languages are constructed" in head and "mini" in head and "2026-01-01" in head
    assert "retrieve 5 complete" in head


def test_the_page_follows_light_and_dark_themes(html: str) -> None:
    assert "prefers-color-scheme: dark" in html and "color-scheme: light dark" in html
    assert "#1b1b1f;" not in html[html.index("</style>") :]


def test_latex_is_balanced_and_has_no_stray_characters(folder: Path) -> None:
    for path in folder.glob("*.tex"):
        text = path.read_text(encoding="utf-8")
        assert text.count(r"\begin{") == text.count(r"\end{") > 0
        plain = re.sub(r"\\[{}$&%#_]", "", text)
        assert plain.count("{") == plain.count("}") and plain.count("$") % 2 == 0
        tables = re.findall(r"\\begin\{tabular\}\{([lr]+)\}(.*?)\\end\{tabular\}", plain, re.S)
        for columns, body in tables:
            assert all(line.count("&") == len(columns) - 1 for line in body.splitlines() if line.endswith(r"\\"))
        assert {character for character in text if not character.isascii()} == set()


def test_reports_without_runs_are_named_with_the_command_that_makes_them(tmp_path: Path) -> None:
    write_transfer(tmp_path, "pos", "full")
    write_transfer(tmp_path, "pos", "full", "de-en", "S1W0M0")
    done = write_all(tmp_path)
    assert set(done.made) == {"table1", "predict", "stages", "compare"} and "table2" in done.missing
    html = done.page.read_text()
    assert "What is missing" in html and "real languages" in html
    assert f"xalign report table2 --runs {tmp_path}" in commands(html)
    assert any(c.startswith("xalign grid run table2 ") for c in commands(html))
    assert any(c.startswith("xalign langalign --task topic ") for c in commands(html))  # what no grid makes
    assert not any(c.startswith("xalign grid run langalign") for c in commands(html))


def test_unusable_runs_of_one_report_do_not_keep_the_others_from_being_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_transfer(tmp_path, "pos", "full")
    write_retrieval(tmp_path, lambda *_: 0.5, pairs=("deu-eng",))
    write_retrieval(tmp_path, lambda *_: 0.5, "de-en", "S1W0M0", pairs=("deu-eng",), testbed=True)
    assert run(["report", "all", "--runs", str(tmp_path), "--tracking", "none"]) == 1
    captured = capsys.readouterr()
    assert "made     table1" in captured.out and "testbed is mixed" in captured.err
    assert "testbed is mixed" in (tmp_path / "report" / "index.html").read_text()


def test_all_without_any_run_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no report can be made"):
        write_all(tmp_path)
    with pytest.raises(UsageError, match="no such directory"):
        write_all(tmp_path / "nowhere")


def test_the_command_prints_and_names_figures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_retrieval(tmp_path, lambda *_: 0.4, pairs=("deu-eng",))
    write_retrieval(tmp_path, lambda *_: 0.5, "de-en", "S1W0M0", pairs=("deu-eng",))
    words = ["report", "table2", "--runs", str(tmp_path), "--tracking", "none"]
    assert run(words) == 0
    shown = capsys.readouterr().out
    assert "+0.100" in shown and "table2-cosine.png" in shown
    assert run([*words, "--format", "latex"]) == 0
    assert r"\includegraphics[width=\linewidth]{table2-cosine.png}" in capsys.readouterr().out
    assert run([*words, "--format", "html"]) == 2 and run([*words[:-1], "wandb"]) == 2


def test_reports_are_copied_to_one_run_of_the_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    from xalign.tracking.store import open_store

    write_retrieval(tmp_path, lambda *_: 0.4, pairs=("deu-eng",))
    for name in ("table2", "tableC-top5"):
        write_report(name, tmp_path, tracking="mlflow")
    client, experiment = open_store(tmp_path)
    (found,) = client.search_runs([experiment])
    assert found.info.run_name == "report" and found.info.status == "FINISHED"
    names = {artifact.path for artifact in client.list_artifacts(found.info.run_id)}
    assert {"table2.csv", "table2.tex", "tableC-top5.md"} <= names


def test_a_store_that_fails_is_one_warning_and_the_report_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "nowhere://at-all")
    write_retrieval(tmp_path, lambda *_: 0.4, pairs=("deu-eng",))
    with caplog.at_level(logging.WARNING, logger="xalign"):
        write_report("table2", tmp_path, tracking="mlflow")
    warnings = [record for record in caplog.records if record.name == "xalign.report.artifacts"]
    assert len(warnings) == 1 and "\n" not in warnings[0].getMessage()
    assert (tmp_path / "report" / "table2.csv").is_file()
