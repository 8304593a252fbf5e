"""Fit note: what a market file says of the fit that the market comes from, so that a price is not trusted blindly."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import inf, isfinite
from typing import Any

from prillm_or.errors import MarketError

FITTED = "calibrated"
"""The fit's own name among the methods of its scores."""
MEASURES = {"r2": "flows", "r2_shares": "users' shares"}
_MARGIN = 1e-3
"""Of R^2: nearer ones predict alike."""

Range = tuple[float, float]
Scored = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class FitNote:
    """What is known of a fit.

    Parameters
    ----------
    elasticity_range
        Own elasticities of the leader's providers that the data do not tell apart, weakest last; None where not known.
    best_price_range
        The lowest and the highest of the best prices that the data do not tell apart, by the name of the leader's
        decision; None where not known, and in a market that is no longer the one that was fitted.
    scores
        By method, `FITTED` and baselines: `in_sample` and `holdout`, each None or R^2 by `r2` (flows) and `r2_shares`.

    Raises
    ------
    MarketError
        When the ends of a range are not in order.
    """

    elasticity_range: Range | None = None
    best_price_range: Mapping[str, Range] | None = None
    scores: Scored = field(default_factory=dict)

    def __post_init__(self) -> None:
        ranges = {"elasticity_range": self.elasticity_range, **(self.best_price_range or {})}
        problems = [
            f"{name}: expected two numbers, the lower one first, got {ends}"
            for name, ends in ranges.items()
            if ends is not None
            and not (len(ends) == 2 and isfinite(ends[0]) and ends[0] <= ends[1] and isfinite(ends[1]))
        ]
        if problems:
            raise MarketError("fit", problems)

    def elsewhere(self) -> FitNote:
        """What holds in another market whose users want the same: best prices are others."""
        return replace(self, best_price_range=None)


@dataclass(frozen=True)
class Better:
    """A baseline that predicts better than the fit.

    Parameters
    ----------
    what
        `flows` or `users' shares`.
    held_out
        Whether cells that neither saw are predicted.
    r2, ours
        R^2 of the baseline and of the fit.
    """

    method: str
    what: str
    held_out: bool
    r2: float
    ours: float


def judged_by(scores: Scored) -> str:
    """Which part of the scores decides: cells held out where the fit has scores of them."""
    return "holdout" if scores.get(FITTED, {}).get("holdout") else "in_sample"


def r2_of(scores: Scored, part: str, measure: str) -> dict[str, float]:
    """R^2 of each method that has it, the best first."""
    known = {name: (scored.get(part) or {}).get(measure) for name, scored in scores.items()}
    r2 = {name: value for name, value in known.items() if isinstance(value, (int, float))}
    return {name: r2[name] for name in sorted(r2, key=lambda name: -r2[name])}


def better_baselines(scores: Scored, part: str) -> Iterator[Better]:
    """Baselines that predict flows, or users' shares, better than the fit; of each the best first.

    Parameters
    ----------
    scores
        As in `FitNote`; what is no such score is passed over.
    part
        `in_sample` or `holdout`.
    """
    for measure, what in MEASURES.items():
        r2 = r2_of(scores, part, measure)
        ours = r2.pop(FITTED, inf)
        yield from (
            Better(name, what, part == "holdout", theirs, ours)
            for name, theirs in r2.items()
            if theirs > ours + _MARGIN
        )


def better_in_words(better: Sequence[Better]) -> str:
    """Which baselines predict better than the fit, as one clause.

    Parameters
    ----------
    better
        At least one; of each quantity the best first.
    """
    parts = []
    for what in dict.fromkeys(one.what for one in better):
        first, *others = (one for one in better if one.what == what)
        verb = "do" if len(others) > 1 else "does"
        more = f"; so {verb} {', '.join(one.method for one in others)}" if others else ""
        parts.append(
            f"{first.method} predicts {what} better than the fit (R^2 {first.r2:.3f} against {first.ours:.3f}{more})"
        )
    return f"{'held out' if better[0].held_out else 'in sample'}, {', and '.join(parts)}"
