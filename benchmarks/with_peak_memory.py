"""``python -m xalign``, leaving the peak of this process's memory in $PEAK_MEMORY.RANK, in MB; see `memory.py`."""

import atexit
import os
import resource
import runpy
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))


def leave() -> None:
    """Write the peak."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    Path(f"{os.environ['PEAK_MEMORY']}.{os.environ.get('RANK', '0')}").write_text(f"{peak:.0f}")


atexit.register(leave)
runpy.run_module("xalign", run_name="__main__")
