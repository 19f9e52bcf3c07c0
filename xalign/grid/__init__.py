"""The grid: which runs a table needs (`matrix`), their commands and states (`experiment`), what they take (`costs`,
`estimates`), and making them here (`runner`, `workers`) or on a cluster (`slurm`)."""

from xalign.grid.experiment import Grid
from xalign.grid.matrix import TARGETS, Job

__all__ = ["TARGETS", "Grid", "Job"]
