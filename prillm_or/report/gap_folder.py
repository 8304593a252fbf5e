"""Folder: a comparison as report.json, report.csv, report.md and report.html."""

from __future__ import annotations

from pathlib import Path

from prillm_or.comparison.comparison import Comparison
from prillm_or.output.saving import replace_file, write_json
from prillm_or.report.gap_page import html_page
from prillm_or.report.gap_tables import csv_table, markdown


def write_report(comparison: Comparison, folder: Path) -> list[Path]:
    """Write the four files of a report, each whole or not at all, and name them.

    Raises
    ------
    PrillmError
        When one cannot be written.
    """
    write_json(comparison.to_dict(), folder / "report.json")
    texts = {
        "report.csv": csv_table(comparison),
        "report.md": markdown(comparison),
        "report.html": html_page(comparison),
    }
    for name, text in texts.items():
        replace_file(folder / name, text.encode())
    return [folder / "report.json", *(folder / name for name in texts)]
