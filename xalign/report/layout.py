"""Names, orders and number formats that the tables of the report share."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from xalign.naming import BASE
from xalign.report.comparisons import Comparison, Interval
from xalign.report.estimates import Block
from xalign.report.records import UNALIGNED, Cell, TransferRecord, Transfers

TESTBED = "testbed (constructed languages)"
PAIR_ORDER = ("de-en", "en-kk", "ja-kk", "kk-ko")
TASKS = {"pos": "POS tagging", "topic": "sentence classification"}
MODES = {"full": "full fine-tuning", "linear": "linear only"}
NOT_RUN = "not run"
CHANGE_ROW = "  change"
INTERVAL_ROW = "  interval"


@dataclass(frozen=True)
class Study:
    """What the tables of one report are about: the selected runs, their blocks, and the state of every other cell."""

    transfers: Transfers
    blocks: tuple[Block, ...]

    @property
    def records(self) -> list[TransferRecord]:
        """The complete runs."""
        return self.transfers.complete

    @property
    def cells(self) -> set[Cell]:
        """Every cell of which some run exists, complete or not."""
        return {run.cell for run in self.transfers.complete} | {run.cell for run in self.transfers.unfinished}

    @property
    def places(self) -> list[tuple[str, str]]:
        """(task, mode) of the blocks, in the paper's order."""
        found = {(cell.task, cell.mode) for cell in self.cells}
        return sorted(found, key=lambda place: (rank(place[0], TASKS), rank(place[1], MODES)))

    @property
    def pairs(self) -> list[str]:
        """Alignment pairs in the paper's order, then others by name."""
        return sorted({cell.pair for cell in self.cells if cell.aligned}, key=lambda pair: rank(pair, PAIR_ORDER))

    @property
    def encoder(self) -> str:
        """The unaligned encoder's name."""
        return (self.transfers.complete or self.transfers.unfinished)[0].encoder

    @property
    def testbed(self) -> bool:
        """Whether the languages are constructed."""
        return (self.transfers.complete or self.transfers.unfinished)[0].testbed

    def title(self, text: str) -> str:
        """`text` with the base encoder, and with the testbed's mark where it belongs."""
        return titled(text, self.encoder, self.testbed)

    def block(self, task: str, mode: str) -> Block | None:
        """The block of a task and mode, if any of its runs is complete."""
        return next((block for block in self.blocks if (block.task, block.mode) == (task, mode)), None)

    def state(self, cell: Cell) -> str:
        """'complete', 'failed', 'incomplete' or 'not run'."""
        if any(record.cell == cell for record in self.records):
            return "complete"
        return next((run.state for run in self.transfers.unfinished if run.cell == cell), NOT_RUN)


def titled(text: str, encoder: str, testbed: bool) -> str:
    """A title with the base encoder, and with the testbed's mark where it belongs."""
    return f"{text} · base encoder {encoder}" + (f" · {TESTBED}" if testbed else "")


def data_kind(testbed: bool) -> str:
    """What tidy tables say about the data."""
    return TESTBED if testbed else "real"


def rank(name: str, known: Iterable[str]) -> tuple[int, str]:
    """Sort key: known names in their order, then the others by name."""
    order = list(known)
    return (order.index(name) if name in order else len(order), name)


def base_cell(task: str, mode: str) -> Cell:
    """The unaligned encoder's cell in a block."""
    return Cell(task, mode, BASE, UNALIGNED)


def block_name(task: str, mode: str) -> str:
    """A block's name in titles."""
    return f"{TASKS.get(task, task)}, {MODES.get(mode, mode)}"


def signed(difference: float) -> str:
    """A difference of accuracies in percentage points, always with its sign; zero is +0.0."""
    text = f"{100 * difference:+.1f}"
    return "+0.0" if text == "-0.0" else text


def points(interval: Interval | None) -> str | None:
    """A difference in percentage points, starred where its simultaneous interval excludes zero."""
    return None if interval is None else signed(interval.estimate) + "*" * interval.significant


def limits(interval: Interval | None) -> str | None:
    """The percentile interval in percentage points."""
    return None if interval is None else f"[{signed(interval.low)}, {signed(interval.high)}]"


def mean_and_sd(comparison: Comparison) -> str:
    """Accuracy, and its standard deviation over seeds where there are several."""
    spread = "" if comparison.sd is None else f" ±{comparison.sd:.3f}"
    return f"{comparison.accuracy:.3f}{spread}"
