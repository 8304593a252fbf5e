"""Pictures of a profile: best prices and misfit along the elasticity, as SVG for a page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from prillm_or.market.market import Array, Market, Mask, by_decision
from prillm_or.output.canvas import drawing
from prillm_or.report.templates import NARROW, WIDE

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from prillm_or.calibration.fit_files import FitFile
    from prillm_or.calibration.profile import Profile

_SEEN, _HELD = "#0072B2", "#D55E00"
_HEIGHT = 2.3
_LINES = ("#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_WEAKEST = 1e-3
"""Responses weaker than this are drawn as this: there is no 0 on a logarithmic axis."""
_TICKS = (_WEAKEST, 0.01, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0)


@dataclass(frozen=True, eq=False)
class ProfileLine:
    """What is drawn of a profile; shape (points,), from the strongest response to the weakest.

    Parameters
    ----------
    elasticity, misfit
        Of each point.
    told
        Whether the data tell it from the fit.
    best
        Best prices by decision, NaN where not known; empty where none is.
    today
        The decisions today, by name, those that are known.
    logit
        The best price were users logits, NaN where not known; None of several decisions.
    own
        Which point is the fit's own; None where that is not known.
    """

    elasticity: Array
    misfit: Array
    told: Mask
    best: Mapping[str, Array]
    today: Mapping[str, float]
    own: int | None = None
    logit: Array | None = None

    @property
    def strength(self) -> Array:
        """Where the points stand on the axis."""
        return np.maximum(-self.elasticity, _WEAKEST)


def line_of(profile: Profile) -> ProfileLine:
    """What is drawn of a profile just found."""
    from prillm_or.calibration.profile import decided  # and scipy, which a page of a fit.json does without

    points = profile.points
    results = [point.best for point in points]
    first = next((result.decided for result in results if result is not None), ())
    return ProfileLine(
        elasticity=np.array([point.elasticity for point in points]),
        misfit=np.array([point.misfit for point in points]),
        told=np.array([point.told for point in points]),
        best={
            one.name: np.array([np.nan if result is None else decided(result)[one.name] for result in results])
            for one in first
        },
        today={one.name: one.today for one in first if one.today is not None},
        own=next(place for place, point in enumerate(points) if point is profile.own),
        logit=np.array([point.logit_price for point in points], dtype=np.float64) if len(first) == 1 else None,
    )


def line_of_fit(fit: FitFile, market: Market) -> ProfileLine | None:
    """What is drawn of the profile that a fit.json holds, of a market that it was written with; None without one."""
    columns = fit.profile
    if columns is None:
        return None
    elasticity = np.array(columns.elasticity)
    strongest, weakest = fit.elasticity_range or (-np.inf, 0.0)
    best = columns.best_price
    by_name = best if isinstance(best, dict) else {market.decisions[0].name: best}
    known = {name: np.array(values, dtype=np.float64) for name, values in by_name.items() if any(values)}
    return ProfileLine(
        elasticity=elasticity,
        misfit=np.array(columns.misfit),
        told=(elasticity < strongest) | (elasticity > weakest),
        best=known,
        today={name: value for name, value in by_decision(market, market.current).items() if not np.isnan(value)},
        logit=None if columns.logit_price is None else np.array(columns.logit_price, dtype=np.float64),
    )


def profile_pictures(line: ProfileLine, money: str) -> list[dict[str, object]]:
    """Best prices, where they are known, and misfit along what the data leave open, with their captions."""
    forms = {"wide": WIDE, "narrow": NARROW}
    misfit = {form: _misfit_picture(line, width, f"{form}misfit") for form, width in forms.items()}
    pictures: list[dict[str, object]] = [
        {"caption": "What is missed of the flows seen at each elasticity", "forms": misfit}
    ]
    if line.best:
        best = {form: _price_picture(line, width, f"{form}best") for form, width in forms.items()}
        pictures.insert(0, {"caption": f"The best price, were the elasticity another: {money}", "forms": best})
    return pictures


def _price_picture(line: ProfileLine, width: float, name: str) -> str:
    """Draw the best prices along the elasticity; of several decisions over today's, where all have one."""
    several = len(line.best) > 1
    relative = several and all(line.today.get(one) for one in line.best)
    with drawing(width, name, _HEIGHT) as (axes, done):
        for place, (one, values) in enumerate(line.best.items()):
            unit = line.today[one] if relative else 1.0
            _along(axes, line, values / unit, _LINES[place % len(_LINES)], one if several else "")
        if line.logit is not None and np.isfinite(line.logit).any():
            axes.plot(line.strength, line.logit, ":", color=_HELD, linewidth=1.2, label="were users logits")
        today = 1.0 if relative else line.today.get(next(iter(line.best)))
        if today:
            axes.axhline(today, color="#999999", linewidth=1, linestyle=(0, (4, 3)), label="today's")
        axes.set_ylabel("over today's" if relative else "best price")
        axes.set_ylim(bottom=0.0)
    return done[0]


def _misfit_picture(line: ProfileLine, width: float, name: str) -> str:
    """Draw 1 - R^2 of the flows seen along the elasticity."""
    with drawing(width, name, _HEIGHT) as (axes, done):
        _along(axes, line, line.misfit, _SEEN, "")
        axes.set_ylabel("1 - R²")
        axes.set_ylim(0.0, 1.15 * float(line.misfit.max()) or 1.0)
    return done[0]


def _along(axes: Axes, line: ProfileLine, values: Array, colour: str, label: str) -> None:
    """Points along the elasticity: full where they are in the profile set, hollow where they are told from the fit."""
    strength, told, own = line.strength, line.told, line.own
    axes.plot(strength, values, color=colour, linewidth=1.2, label=label or None)
    for some, fill, what in ((~told, colour, "not told from the fit"), (told, "white", "told from it")):
        if some.any():
            legend = None if label else what
            axes.plot(
                strength[some], values[some], "o", color=colour, markerfacecolor=fill, markersize=4.5, label=legend
            )
    if own is not None:
        axes.plot(strength[own], values[own], "D", color=_HELD, markersize=6, label=None if label else "the fit")
    axes.set_xscale("log")
    ends = strength.min() / 1.1, strength.max() * 1.1
    ticks = [tick for tick in _TICKS if ends[0] <= tick <= ends[1]]
    axes.set_xticks(ticks, [f"-{tick:g}" for tick in ticks])
    axes.minorticks_off()
    axes.set_xlim(ends[1], ends[0])
    beyond = f", any weaker than -{_WEAKEST:g} there" if (-line.elasticity < _WEAKEST).any() else ""
    axes.set_xlabel(f"own-price elasticity{beyond}")
