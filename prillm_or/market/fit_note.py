"""Fit note: what a market file says of the fit that the market comes from, so that a price is not trusted blindly."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import isfinite
from typing import Any

from prillm_or.errors import MarketError

FITTED = "calibrated"
"""The fit's own name among the methods of its scores."""
_MEASURES = {"r2": "flows", "r2_shares": "users' shares"}
_MARGIN = 1e-3
"""Of R^2: nearer ones predict alike."""

Range = tuple[float, float]


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
    scores: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

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


def better_baselines(scores: Mapping[str, Mapping[str, Any]]) -> Iterator[Better]:
    """Baselines that predict flows, or users' shares, better than the fit; the best first.

    Cells held out decide where the fit has scores of them.

    Parameters
    ----------
    scores
        As in `FitNote`; what is no such score is passed over.
    """
    ours = scores.get(FITTED, {})
    part = "holdout" if ours.get("holdout") else "in_sample"
    for measure, what in _MEASURES.items():
        known = {name: (scored.get(part) or {}).get(measure) for name, scored in scores.items()}
        r2 = {name: value for name, value in known.items() if isinstance(value, (int, float))}
        if FITTED in r2:
            best_first = sorted(r2, key=lambda name: -r2[name])
            yield from (
                Better(name, what, part == "holdout", r2[name], r2[FITTED])
                for name in best_first
                if r2[name] > r2[FITTED] + _MARGIN
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
        more = f"; so {verb} {' and '.join(one.method for one in others)}" if others else ""
        parts.append(
            f"{first.method} predicts {what} better than the fit (R^2 {first.r2:.3f} against {first.ours:.3f}{more})"
        )
    return f"{'held out' if better[0].held_out else 'in sample'}, {', and '.join(parts)}"
