"""Pictures of results as SVG files: growth of time and memory, and bars of ratios against peers, both on log axes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from benchmarks.report import Document
from prillm_or.output.canvas import drawing
from prillm_or.output.numbers import seconds

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_WIDE = 7.2
_HEIGHT, _BAR = 4.0, 0.17
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#444444")
_SIGNS = ("o", "s", "D", "^", "v", "P")
_SHADES = ("#56B4E9", "#0072B2", "#444444")

Results = Mapping[str, Document]


def growth_time(results: Results) -> str | None:
    """Processor time against n m, a line for each action in uniform markets."""
    return _growth(results, "growth-time", "cpu_s", "time", "processor time", seconds)


def growth_memory(results: Results) -> str | None:
    """Peak memory against n m."""
    return _growth(results, "growth-memory", "peak_MiB", "memory", "peak memory of the process", _bytes)


def pricing(results: Results) -> str | None:
    """Times of methods for the best price over that of path, by size, in uniform markets."""
    bars = [
        (row["method"], size, row["over_path"], not row["limited"].startswith("0/"))
        for size in ("8x13", "20x20", "100x50")
        for row in _rows(results, "pricing", f"pricing {size}")
        if row["shape"] == "uniform" and row["over_path"] is not None and row["method"] != "path"
    ]
    return _bars("pricing", bars, "time over that of path, uniform markets") if bars else None


def equilibrium(results: Results) -> str | None:
    """Times of general QP solvers over ours, cold, by size."""
    bars = [
        (row["solver"], row["size"], row["cold_over_ours"], False)
        for size in ("8x13", "20x20", "200x100")
        for row in _rows(results, "equilibrium", f"equilibrium {size}")
        if row["cold_over_ours"] is not None and row["solver"] != "prillm_or"
    ]
    return _bars("equilibrium", bars, "time of a cold equilibrium over ours") if bars else None


PICTURES: dict[str, Callable[[Results], str | None]] = {
    "pricing": pricing,
    "growth-time": growth_time,
    "growth-memory": growth_memory,
    "equilibrium": equilibrium,
}
"""By the name of the file; None where what is needed was not measured."""


def _rows(results: Results, measurement: str, title: str) -> list[dict[str, Any]]:
    tables = results[measurement]["tables"] if measurement in results else []
    return [row for table in tables if table["title"] == title for row in table["rows"]]


def _growth(
    results: Results, name: str, field: str, exponent: str, label: str, words: Callable[[float], str]
) -> str | None:
    rows = [row for row in _rows(results, "growth", "growth in n m, n = 10 m") if row[field] is not None]
    fitted = {
        (row["action"], row["shape"]): row[exponent]
        for row in _rows(results, "growth", "exponents")
        if row["grows"] == "n m"
    }
    if not rows:
        return None
    with drawing(_WIDE, name, _HEIGHT) as (axes, done):
        axes.set_xscale("log")
        axes.set_yscale("log")
        for index, action in enumerate(dict.fromkeys(row["action"] for row in rows)):
            for shape, points in _by_shape(rows, action):
                uniform = shape == "uniform"
                power = fitted.get((action, shape))
                slope = "" if power is None else f", exponent {power:.2f}"
                axes.plot(
                    [row["pairs"] for row in points],
                    [row[field] for row in points],
                    color=_COLOURS[index],
                    marker=_SIGNS[index],
                    markersize=5,
                    markerfacecolor=_COLOURS[index] if uniform else "white",
                    linestyle="-" if uniform else ":",
                    linewidth=1.2,
                    label=f"{action}, {shape}{slope}",
                )
        _powers(axes, "x", lambda power: f"{power:.0e}".replace("e+0", "e"))
        _powers(axes, "y", words)
        axes.set_xlabel("n m, users times providers, n = 10 m")
        axes.set_ylabel(label)
    return _alone(done[0])


def _by_shape(rows: Sequence[dict[str, Any]], action: str) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    for shape in dict.fromkeys(row["shape"] for row in rows):
        points = [row for row in rows if (row["action"], row["shape"]) == (action, shape)]
        if points:
            yield shape, points


def _bars(name: str, bars: Sequence[tuple[str, str, float, bool]], label: str) -> str:
    """Bars from 1 to a ratio, by method and kind; hatched where the ratio is a lower bound."""
    methods, kinds = list(dict.fromkeys(bar[0] for bar in bars)), list(dict.fromkeys(bar[1] for bar in bars))
    height = 0.7 + _BAR * len(methods) * (len(kinds) + 0.6)
    with drawing(_WIDE, name, height) as (axes, done):
        axes.set_xscale("log")
        thick = 0.8 / len(kinds)
        for method, kind, ratio, limited in bars:
            first = not any(b[1] == kind for b in bars[: bars.index((method, kind, ratio, limited))])
            place = methods.index(method) + (kinds.index(kind) - (len(kinds) - 1) / 2) * thick
            left, right = min(1.0, ratio), max(1.0, ratio)
            hatch = "////" if limited else None
            colour = _SHADES[kinds.index(kind)]
            edge = "white" if limited else colour
            shown = kind if first else None
            axes.barh(place, right - left, thick, left, label=shown, color=colour, hatch=hatch, edgecolor=edge)
            text = f"{'> ' if limited else ''}{ratio:.{0 if ratio >= 100 else 2}f}"
            axes.text(1.06 * right, place, text, va="center", ha="left", fontsize=8)
        axes.set_yticks(range(len(methods)), methods)
        axes.invert_yaxis()
        axes.grid(visible=False, axis="y")
        low, high = axes.get_xlim()
        axes.set_xlim(low, 3 * high)
        _powers(axes, "x", lambda power: f"{power:g}")
        axes.axvline(1.0, color="#333333", linewidth=1)
        axes.set_xlabel(label)
    return _alone(done[0])


def _powers(axes: Axes, which: str, words: Callable[[float], str]) -> None:
    """Whole powers of ten as ticks, in words: the axis's own labels would be formulas."""
    low, high = axes.get_xlim() if which == "x" else axes.get_ylim()
    powers = [10.0**power for power in range(math.ceil(math.log10(low)), math.floor(math.log10(high)) + 1)]
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_ticks(powers, [words(power) for power in powers])
    axis.set_ticks([], minor=True)


def _bytes(mebibytes: float) -> str:
    return f"{mebibytes:g} MiB" if mebibytes < 1024 else f"{mebibytes / 1024:.3g} GiB"


def _alone(svg: str) -> str:
    """A file of its own has no page whose letters it could inherit."""
    return svg.replace("font-family: inherit", "font-family: sans-serif") + "\n"
