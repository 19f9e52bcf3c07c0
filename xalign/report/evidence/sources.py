"""What claims may rest on: accuracies, units of transfer, and the analyses of the encoders."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from xalign.report.analyses import Analysis
from xalign.report.estimates import Block
from xalign.report.predictors import Unit

DRAWS = 2000
SEED = 42


@dataclass(frozen=True)
class Evidence:
    """Everything that claims may rest on; `testbed` is the directory with the known relatedness, if it is one;
    `subwords` maps a language to the subword ids of its FLORES sentences."""

    blocks: tuple[Block, ...] = ()
    units: tuple[Unit, ...] = ()
    retrieval: list[Analysis] = field(default_factory=list)
    distances: list[Analysis] = field(default_factory=list)
    gradients: list[Analysis] = field(default_factory=list)
    testbed: Path | None = None
    subwords: Mapping[str, set[int]] = field(default_factory=dict)

    def of_task(self, task: str, mode: str | None = None) -> list[Block]:
        """The blocks of a task, of one mode or of all."""
        return [block for block in self.blocks if block.task == task and mode in (None, block.mode)]
