"""Tables: rows as CSV, and the report as Markdown."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from prillm_or.comparison.comparison import Comparison
from prillm_or.comparison.headline import headline, headlines
from prillm_or.comparison.method import about
from prillm_or.comparison.plan import Record
from prillm_or.comparison.published import citation, paper_tables
from prillm_or.comparison.summary import HEADINGS, NUMBERS, cells, flat, sections, time_note
from prillm_or.files.cells import inert
from prillm_or.result import Times

_COLUMNS = ("status", "profit", "upper_bound", "gap", "profit_share", "time_share")
_LAST = ("seed", "threads", "version")


def csv_table(comparison: Comparison) -> str:
    """One line for each finished run, comma-separated."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, list(_flat(comparison.records[0])) if comparison.records else [])
    writer.writeheader()
    writer.writerows({key: inert(cell) for key, cell in _flat(record).items()} for record in comparison.records)
    return stream.getvalue()


def _flat(record: Record) -> dict[str, Any]:
    row, certificate = record.row, record.row["certificate"] or {}
    return {
        "instance": row["instance"],
        "instance_sha256": row["instance_sha256"],
        "method": str(record.unit.method),
        "repeat": row["repeat"],
        "solver": row["method"]["solver"],
        "solver_version": row["method"]["solver_version"],
        "model": row["method"]["model"],
        "abstraction": row["method"]["abstraction"],
        "keep": row["method"]["keep"],
        **{column: row[column] for column in _COLUMNS},
        "prices": _pairs(row["prices"]),
        "loads": _pairs(row["loads"]),
        "kkt_residual": certificate.get("kkt_residual"),
        "max_regret": certificate.get("max_regret"),
        **{f"time_{phase}_s": row["time_s"][phase] for phase in asdict(Times())},
        **{column: row[column] for column in _LAST},
        "message": row.get("message"),
    }


def _pairs(values: Mapping[str, float | Mapping[str, float]]) -> str:
    return "; ".join(f"{name}={value!r}" for name, value in flat(values).items())


def markdown(comparison: Comparison) -> str:
    """The report as Markdown: a table for each instance, the paper's figures, the environment."""
    found = sections(comparison)
    gap = comparison.plan.limits.gap
    parts = ["# Optimality-gap report", _text(headlines(found, gap)), overview(comparison)]
    for section in found:
        said = [_text(headline(section, gap))] if len(found) > 1 else []
        parts += [f"## {_text(section.name)}", *said, _grid(HEADINGS, NUMBERS, [cells(line) for line in section.lines])]
        if section.messages:
            parts.append("\n".join(f"* {_text(message)}" for message in section.messages))
    note = time_note(comparison)
    parts.append(_text(f"{note[0].upper()}{note[1:]}."))
    tables = paper_tables(comparison.plan.preset, found)
    if tables:
        parts += ["## The paper's figures", f"Not ours: {citation()}."]
        for table in tables:
            parts += [f"**{_text(table.title)}**", _grid(table.columns, table.numbers, table.rows)]
    parts += [
        "## Methods",
        "\n".join(f"* {_text(str(spec))}: {_text(about(spec))}" for spec in comparison.plan.methods),
    ]
    parts += ["## Environment", "\n".join(f"* {key}: {_text(value)}" for key, value in facts(comparison.environment))]
    return "\n\n".join(parts) + "\n"


def overview(comparison: Comparison) -> str:
    """One sentence on what was run, and whether it is all of it."""
    plan, limits = comparison.plan, comparison.plan.limits
    total = len(plan.files) * len(plan.methods) * plan.repeats
    limit = "no time limit" if limits.time_limit is None else f"time limit {limits.time_limit:g} s"
    text = (
        f"Instances: {len(plan.files)}; methods: {len(plan.methods)}; repeats: {plan.repeats}, in turns; "
        f"gap asked for: {limits.gap:g}; {limit}."
    )
    if len(comparison.records) < total:
        text += f" Unfinished: {len(comparison.records)} of {total} runs are in this report."
    if plan.outside is not None:
        text += f" Every market has an outside option of value {plan.outside:g}, which its file has not."
    return text


def facts(environment: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The environment as names and values for people."""
    for key, value in environment.items():
        if isinstance(value, Mapping):
            value = ", ".join(f"{name} {number}" for name, number in value.items())
        yield key.replace("_", " "), "none" if value is None else str(value)


def _grid(headings: Sequence[str], numbers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [headings, ["---:" if heading in numbers else "---" for heading in headings], *rows]
    return "\n".join(f"| {' | '.join(_text(cell) for cell in line)} |" for line in lines)


def _text(text: str) -> str:
    """Text that Markdown takes for nothing else, on one line."""
    for sign in "\\|*_<>`[]":
        text = text.replace(sign, f"\\{sign}")
    return " ".join(text.split())
