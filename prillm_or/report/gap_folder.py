"""Folder: a comparison as report.json, report.csv, report.md and report.html."""

from __future__ import annotations

from pathlib import Path

from prillm_or.comparison.comparison import REPORT_FORMAT, Comparison
from prillm_or.output.saving import replace_file, write_json
from prillm_or.report.gap_page import html_page
from prillm_or.report.gap_tables import csv_table, markdown

MARKS = {
    "report.json": REPORT_FORMAT,
    "report.csv": "instance,instance_sha256,",
    "report.md": "# Optimality-gap report",
    "report.html": "<title>Optimality-gap report</title>",
}
"""The files, and what shows that one is ours."""


def write_report(comparison: Comparison, folder: Path) -> list[Path]:
    """Write the four files of a report, each whole or not at all, and name them.

    Raises
    ------
    PrillmError
        When one cannot be written.
    """
    paths = [folder / name for name in MARKS]
    write_json(comparison.to_dict(), paths[0])
    for path, text in zip(paths[1:], (csv_table, markdown, html_page), strict=True):
        replace_file(path, text(comparison).encode())
    return paths
