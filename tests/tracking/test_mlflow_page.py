"""MLflow's page about a small grid, in a real browser: what a person looks for is there, and stands first."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from launching import PLAIN, REPOSITORY, environment
from synthetic import write_grid

from xalign.tracking import sync

STEPS = 12
ALIGNED, TUNED = "align/de-en/S1W0M1", "finetune/topic/linear/de-en/S1W0M1"
TRANSFERRED, UNALIGNED = "transfer/topic/linear/de-en/S1W0M1", "transfer/topic/linear/base"
CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), ""
)


pytestmark = pytest.mark.full("half a minute with a browser")


@pytest.fixture(autouse=True, scope="module")
def browser_there() -> None:
    pytest.importorskip("playwright", reason="needs playwright: pip install playwright")
    if not CHROMIUM:
        pytest.skip("needs Chromium: apt install chromium")


@pytest.fixture(scope="module")
def served(browser_there: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """The address that ``xalign mlflow ui`` prints for a mirrored grid, while it serves, and the grid."""
    runs = tmp_path_factory.mktemp("page") / "runs"
    write_grid(runs, tasks=("topic",), modes=("linear",), sentences=20)
    lines = [json.dumps({"step": step, "loss": 2 / step, "rate": 0.1 * step}) for step in range(1, STEPS + 1)]
    for aligned in (runs / "align").glob("*/*"):
        (aligned / "metrics.jsonl").write_text("".join(f"{line}\n" for line in lines))
        (aligned / "result.json").write_text(json.dumps({"seconds": 12.5, "validation": {"mean_cosine": 0.5}}))
    plain = {name: value for name, value in environment().items() if name != "MLFLOW_TRACKING_URI"}
    sync(runs, store=f"sqlite:///{runs / 'mlflow.db'}")
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = int(listener.getsockname()[1])
    server = subprocess.Popen(
        [*PLAIN, "mlflow", "ui", "--runs", str(runs), "--port", str(port)],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=REPOSITORY, env=plain, start_new_session=True,
    )  # fmt: skip
    try:
        assert server.stdout is not None
        address = server.stdout.readline().strip()
        assert address.startswith(f"http://127.0.0.1:{port}/")
        until = time.monotonic() + 90
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5).close()
                break
            except OSError:
                assert time.monotonic() < until and server.poll() is None
                time.sleep(0.3)
        yield address, runs
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(30)


@pytest.fixture(scope="module")
def page(served: tuple[str, Path]) -> Iterator[Any]:
    """A page of the browser; it must ask nobody but the server for anything."""
    from playwright.sync_api import sync_playwright

    outside: list[str] = []
    home = served[0].partition("#")[0]

    def note(request: Any) -> None:
        if not request.url.startswith((home, "data:", "blob:")):
            outside.append(request.url)

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        opened = browser.new_page(viewport={"width": 1700, "height": 900})
        opened.set_default_timeout(60_000)
        opened.on("request", note)
        yield opened
        browser.close()
    assert outside == []


def keep_picture(page: Any, name: str) -> None:
    """A picture for a person to look at, where a folder for it is given."""
    if folder := os.environ.get("XALIGN_PICTURES"):
        page.screenshot(path=f"{folder}/{name}.png")


def mlflow_id(runs: Path, name: str) -> str:
    return str(json.loads((runs / name / "tracking.json").read_text())["run_id"])


def test_the_address_opens_the_runs_with_what_matters_first(page: Any, served: tuple[str, Path]) -> None:
    page.goto(served[0])
    page.get_by_text(UNALIGNED, exact=True).wait_for()
    # The order in the document is not the order that is seen.
    placed = "cells => cells.map(c => [c.getBoundingClientRect().left, c.getAttribute('col-id')])"
    header = [name for _, name in sorted(page.locator(".ag-header-cell[col-id]").evaluate_all(placed))]
    columns = [name.partition(".`")[2].rstrip("`") for name in header if ".`" in name]
    wanted = ["Run Name", "pair", "loss", "task", "mode", "accuracy/average", "phase", "encoder"]
    assert columns[: len(wanted)] == wanted
    placed = "cells => cells.map(c => [c.getBoundingClientRect().top, c.innerText])"
    cells = page.locator("[role=row] [role=gridcell][col-id='metrics.`accuracy/average`']").evaluate_all(placed)
    shown = [float(text) for _, text in sorted(cells) if text[:1].isdigit()]
    assert len(shown) == 8 and shown == sorted(shown, reverse=True)
    visible = page.locator(".ag-header-cell[col-id='metrics.`accuracy/average`']").bounding_box()
    assert visible["x"] + visible["width"] < 1260  # MLflow's own panel begins there
    keep_picture(page, "runs")


def test_a_run_draws_a_line_for_each_metric_of_its_training(page: Any, served: tuple[str, Path]) -> None:
    address, runs = served
    home, _, route = address.partition("#")
    experiment = route.split("/")[2]
    run = mlflow_id(runs, ALIGNED)
    page.goto(f"{home}#/experiments/{experiment}/runs/{run}/model-metrics?workflowType=machine_learning")
    page.locator(".js-plotly-plot .scatterlayer .trace").first.wait_for()
    charts = "plots => plots.map(p => [p.data[0].x.length, p.querySelectorAll('svg path').length])"
    lines = [points for points, paths in page.locator(".js-plotly-plot").evaluate_all(charts) if paths > 10]
    assert lines.count(STEPS) == 2
    keep_picture(page, "charts")


def test_a_run_names_the_run_that_it_was_made_from(page: Any, served: tuple[str, Path]) -> None:
    address, runs = served
    home, _, route = address.partition("#")
    experiment = route.split("/")[2]
    for child, parent in ((TRANSFERRED, TUNED), (TUNED, ALIGNED)):
        run = mlflow_id(runs, child)
        page.goto(f"{home}#/experiments/{experiment}/runs/{run}?workflowType=machine_learning")
        page.get_by_role("heading", name=child).wait_for()
        page.get_by_text("Parent run").first.wait_for()
        page.locator(f"a[href*='{mlflow_id(runs, parent)}']").first.wait_for()
    keep_picture(page, "parent")


def test_children_unfold_below_their_parent_when_sorted_by_time(page: Any, served: tuple[str, Path]) -> None:
    home, _, route = served[0].partition("#")
    experiment = route.split("/")[2]
    page.goto(f"{home}#/experiments/{experiment}/runs?workflowType=machine_learning&orderByKey=attributes.start_time")
    page.get_by_text(ALIGNED, exact=True).wait_for()
    assert not page.get_by_text(TUNED, exact=True).count()
    row = page.get_by_text(ALIGNED, exact=True).locator("xpath=ancestor::*[@role='row'][1]").get_attribute("row-id")
    page.locator(f"[row-id='{row}'] button").first.click()
    page.get_by_text(TUNED, exact=True).wait_for()
    keep_picture(page, "children")
