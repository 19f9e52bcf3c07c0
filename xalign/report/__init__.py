"""Reports: from run directories to tables, figures and one page; one function a table or figure of the paper."""

from __future__ import annotations

from xalign.report.catalogue import REPORTS
from xalign.report.render import FORMATS, Report, Table, render
from xalign.report.terminal import to_rich
from xalign.report.writing import AllReports, write_all, write_report

__all__ = [
    "FORMATS",
    "REPORTS",
    "AllReports",
    "Report",
    "Table",
    "render",
    "to_rich",
    "write_all",
    "write_report",
]
