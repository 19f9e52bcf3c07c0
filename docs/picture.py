"""The picture of the README, made from the runs of ``make demo``: its Table 1 in a terminal.

python docs/picture.py [RUNS]
"""

from __future__ import annotations

import io
import re
import sys
from pathlib import Path

from rich.console import Console

from xalign.report.records import collect_transfers
from xalign.report.table1 import table1
from xalign.report.terminal import to_rich

UNWANTED = re.compile(r"@font-face \{.*?\}\s*|<!--.*?-->\s*", re.S)  # fonts from elsewhere


def main() -> None:
    """Draw."""
    runs = Path(sys.argv[1] if len(sys.argv) > 1 else "runs/demo")
    console = Console(record=True, width=110, file=io.StringIO(), force_terminal=True)
    for table in table1(collect_transfers(runs)).tables[:2]:
        console.print(to_rich(table))
    drawn = console.export_svg(title="make demo", unique_id="terminal-demo")
    lines = UNWANTED.sub("", drawn).splitlines()
    Path(__file__).with_name("table1.svg").write_text("\n".join(line.rstrip() for line in lines) + "\n")


if __name__ == "__main__":
    main()
