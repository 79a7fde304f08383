"""The report of a network: one page to open from disk."""

from argen.report.page import report_html, write_report

__all__ = [
    "report_html",
    "write_report",
]
