"""The page `docs/benchmarks.md` and its pictures: the main figures, taken from a results file."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.pictures import PICTURES
from benchmarks.report import Document, between_marks, table_lines

_FOLDER = "pictures"


@dataclass(frozen=True)
class Section:
    """A part of the page: what was measured, which tables of it are shown, and which pictures."""

    heading: str
    measurement: str
    tables: tuple[str, ...]
    pictures: tuple[tuple[str, str], ...] = ()


SECTIONS = (
    Section(
        "The best price, against alternatives",
        "pricing",
        ("pricing 8x13", "pricing 20x20", "pricing 100x50"),
        (("pricing", "Bars: times of other methods over that of path, on a logarithmic axis"),),
    ),
    Section(
        "The best price, by packages for games and bilevel programmes",
        "bilevel",
        ("bilevel 4x4", "bilevel 8x6", "bilevel 8x13"),
    ),
    Section(
        "Models of few rivals, against the full ones of today and of version 0.1.0",
        "abstraction_shipped",
        ("shipped markets, learned, K = 2",),
    ),
    Section(
        "Several prices",
        "several",
        ("alone 20x20, 5", "alone 100x50, 3", "before 8x13, 2", "before 8x13, 3", "before 20x20, 2", "before 20x20, 3"),
    ),
    Section(
        "Growth with the market",
        "growth",
        ("exponents", "certified price"),
        (
            ("growth-time", "Processor time against users times providers, both axes logarithmic"),
            ("growth-memory", "Peak memory against users times providers, both axes logarithmic"),
        ),
    ),
    Section("One market's users over two workers", "spread", ("users spread, 10000x1000", "users spread, 100000x1000")),
    Section("A price kept up to date", "updates", ("updates",)),
    Section(
        "The users' equilibrium, against general QP solvers",
        "equilibrium",
        ("equilibrium by the call", "equilibrium 20x20"),
        (("equilibrium", "Bars: times of QP solvers over ours, on a logarithmic axis"),),
    ),
    Section(
        "Which price to try next, against a grid of prices and Thompson sampling",
        "experiment",
        ("until the best price is known", "regret of trials over that of others"),
    ),
    Section("The best price in equilibria", "path", ("path",)),
    Section("Whole calls, against an earlier version", "versions", ("versions",)),
    Section("Several leaders", "competition", ("best responses in turn", "two owners")),
    Section("Price changes predicted", "events", ("events", "own-price elasticities")),
)


def write_page(results_file: Path, page: Path) -> None:
    """Draw the pictures beside a page, and put the main tables between its marks."""
    results = json.loads(results_file.read_text(encoding="utf-8"))
    folder = page.parent / _FOLDER
    folder.mkdir(exist_ok=True)
    drawn = {name: draw(results) for name, draw in PICTURES.items()}
    for name, svg in drawn.items():
        if svg is not None:
            (folder / f"{name}.svg").write_text(svg, encoding="utf-8")
    shown = {name for name, svg in drawn.items() if svg is not None}
    page.write_text(between_marks(page.read_text(encoding="utf-8"), page_text(results, shown)), encoding="utf-8")


def page_text(results: Mapping[str, Document], drawn: set[str]) -> str:
    """The page's text: targets in short, then the sections that were measured.

    Parameters
    ----------
    drawn
        Names of the pictures there are.
    """
    parts = [" ".join(_in_short(results))]
    for section in SECTIONS:
        if section.measurement in results:
            parts += _section(section, results[section.measurement], drawn)
    parts += ["## Targets", _targets(results)]
    return "\n\n".join(part for part in parts if part)


def _in_short(results: Mapping[str, Document]) -> Iterator[str]:
    """A sentence for each of the main measurements that there are, and one on targets."""
    size = "20x20"
    if rows := _rows(results, "pricing", f"pricing {size}"):
        ours = [row["ms"] for row in rows if row["method"] == "path"]
        proving = [
            (row["over_path"], row["method"])
            for row in rows
            if row["over_path"] is not None and row["proves"] != "nothing" and row["method"] not in ("path", "bisect")
        ]
        if ours and proving:
            (least, first), (most, last) = min(proving), max(proving)
            yield (
                f"One price among {size} users and providers is exact in {median(ours):.1f} ms; other software that "
                f"proves its price takes {least:,.0f} (`{first}`) to {most:,.0f} (`{last}`) times as long"
                f"{_three_prices(results, size)}."
            )
    for row in _rows(results, "growth", "certified price")[:1]:
        yield (
            f"Among 10,000 users and 1,000 providers it takes {row['cpu_s']:.1f} s, {row['ratio']:.1f} times one "
            f"equilibrium of the users, and {row['peak_MiB']:.0f} MiB."
        )
    yield from _by_others(results)
    parts = []
    if changed := [row["update_ms"] for row in _rows(results, "updates", "updates") if row["size"] == size]:
        parts.append(f"a changed market of {size} is checked and priced anew, with proof, in {median(changed):.1f} ms")
    peers = _rows(results, "equilibrium", "equilibrium 200x100")[1:]
    if reached := [row["cold_over_ours"] for row in peers if row["cold_over_ours"]]:
        best = min(reached)
        parts.append(
            f"the fastest general QP solver takes {best:.0f} times as long as ours for an equilibrium of 200x100"
        )
    if parts:
        said = "; ".join(parts)
        yield f"{said[0].upper()}{said[1:]}."
    tried = [row["met"] for name in results for row in _rows(results, name, "targets")]
    if tried:
        yield f"Of {len(tried)} targets set beforehand {sum(tried)} are met; those missed are [below](#targets)."


def _by_others(results: Mapping[str, Document]) -> Iterator[str]:
    """A sentence on packages for games and bilevel programmes: how far off, and how much longer, where they answer."""
    tables = results["bilevel"]["tables"] if "bilevel" in results else []
    rows = [row for table in tables for row in table["rows"] if row.get("method", "path") != "path"]
    answers = [row for row in rows if row["worst_share"] is not None]
    if answers:
        times = [row["over_path"] for row in answers]
        off = max(1 - row["worst_share"] for row in answers)
        sizes = {row["size"]: None for row in rows if row["size"] not in {answer["size"] for answer in answers}}
        beyond = f", and none answers at {' and '.join(sizes)}" if sizes else ""
        yield (
            f"Packages for games and bilevel programmes come to profits at most {max(off, 0.0):.0e} below the best in "
            f"{min(times):,.0f} to {max(times):,.0f} times the time where they answer{beyond}."
        )


def _three_prices(results: Mapping[str, Document], size: str) -> str:
    """What three prices take, behind what one takes."""
    rows = _rows(results, "several", f"before {size}, 3")
    ours = [row["s"] for row in rows if row["method"] == "branch"]
    theirs = [(row["ratio"], row["method"]) for row in rows if row["method"] != "branch" and row["ratio"]]
    if not ours or not theirs:
        return ""
    (least, first), (most, last) = min(theirs), max(theirs)
    return (
        f"; three prices are proven in {max(ours):.2f} s at the median, and models of them take {least:.0f} "
        f"(`{first}`) to {most:.0f} (`{last}`) times that"
    )


def _rows(results: Mapping[str, Document], measurement: str, title: str) -> list[dict[str, Any]]:
    """Rows of a table; none where it was not measured."""
    tables = results[measurement]["tables"] if measurement in results else []
    return [row for table in tables if table["title"] == title for row in table["rows"]]


def _section(section: Section, result: Document, drawn: set[str]) -> Iterator[str]:
    yield f"## {section.heading}"
    when, machine, _ = result["environment"].split("; ", 2)
    yield f"`{section.measurement}`: {result['about']} {when}; {machine}."
    for name, words in section.pictures:
        if name in drawn:
            yield f"![{words}]({_FOLDER}/{name}.svg)"
    for table in result["tables"]:
        if table["title"] in section.tables:
            yield f"**{table['title']}.** {table['note']}".strip()
            yield table_lines(table)


def _targets(results: Mapping[str, Document]) -> str:
    """How many targets each measurement has and meets, and which it misses."""
    lines = ["| measurement | targets | met | missed |", "| --- | --- | --- | --- |"]
    for name, result in results.items():
        rows = [row for table in result["tables"] if table["title"] == "targets" for row in table["rows"]]
        missed = [f"{row['figure']}: {row['measured']:.3g}, aimed at {row['target']}" for row in rows if not row["met"]]
        if rows:
            lines.append(f"| `{name}` | {len(rows)} | {len(rows) - len(missed)} | {'; '.join(missed)} |")
    return "\n".join(lines)
