"""Backtest: price events with what was predicted of them, and what that says of the response to price."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from prillm_or.backtesting.events import Event
from prillm_or.backtesting.implied import Clustered, implied_elasticity, mean_over
from prillm_or.backtesting.predictions import EQUILIBRIUM, METHODS, NO_CHANGE, Prediction
from prillm_or.backtesting.scores import SMALL, EventScores, event_scores
from prillm_or.calibration.bootstrap import LEVEL
from prillm_or.calibration.calibration import OURS
from prillm_or.errors import need_packages
from prillm_or.market.market import Array
from prillm_or.output.answer import Answer
from prillm_or.output.numbers import figure, rounded_percent
from prillm_or.output.tables import Part, Table

if TYPE_CHECKING:
    from pandas import DataFrame

BACKTEST_FORMAT = "prillm-or/backtest@1"


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Backtest(Answer):
    """What `backtest` found.

    Parameters
    ----------
    markets
        Names of the folders' observations.
    least
        The smallest change of a price that is an event.
    predictions
        Of each event, by market and then in order of time.
    """

    markets: Sequence[str]
    least: float
    predictions: Sequence[Prediction]

    @property
    def observed(self) -> Array:
        """Observed changes of log shares, shape (k,)."""
        return np.array([prediction.event.observed for prediction in self.predictions])

    def predicted(self, method: str = OURS) -> Array:
        """Predicted changes, shape (k,); NaN where the method has nothing to go by."""
        return np.array([prediction.changes.get(method, np.nan) for prediction in self.predictions])

    @property
    def scores(self) -> Mapping[str, EventScores]:
        """By method, ours first."""
        steps = np.array([prediction.event.step for prediction in self.predictions])
        found = {}
        for method in METHODS:
            known = ~np.isnan(self.predicted(method))
            found[method] = event_scores(self.predicted(method)[known], self.observed[known], steps[known])
        return found

    @property
    def elasticity(self) -> Clustered | None:
        """What the events say of the own-price elasticity, all together."""
        return implied_elasticity([prediction.event for prediction in self.predictions])

    @property
    def advantage(self) -> Clustered | None:
        """By how much less than no change we miss an event, squared, on average; None without events."""
        if not self.predictions:
            return None
        gained = self.observed**2 - (self.observed - self.predicted()) ** 2
        return mean_over(gained, [prediction.event.market for prediction in self.predictions])

    @property
    def passed(self) -> bool:
        """Whether we predict better than that nothing happens."""
        return self.advantage is not None and self.advantage.estimate > 0

    @property
    def verdict(self) -> str:
        """What a reader has to know first."""
        scores = self.scores
        ours, still = scores[OURS].rmse, scores[NO_CHANGE].rmse
        if self.advantage is None or ours is None or still is None:
            return (
                f"No price changed by {rounded_percent(self.least)} or more: nothing to judge the response to price by."
            )
        over = f"over {_count(len(self.predictions), 'price change')} of {_count(self.advantage.clusters, 'market')}"
        figures = f"RMSE of log share {figure(ours, 3)} against {figure(still, 3)}, {over}"
        if not self.passed:
            return (
                f"That nothing happens predicts better than the fit ({figures}): set no price by its response to price."
            )
        sure = self.advantage.low is not None and self.advantage.low > 0
        chance = "" if sure else ", which may be chance"
        rivals = [method for method in METHODS if method != EQUILIBRIUM and scores[method].rmse is not None]
        best = min(rivals, key=lambda method: scores[method].rmse or 0.0)
        beaten = "" if best == OURS else f", but {best} does better ({figure(scores[best].rmse, 3)})"
        return f"The fit predicts what price changes do better than that nothing happens ({figures}){chance}{beaten}."

    def to_dict(self) -> dict[str, Any]:
        """The fields of the file format, in their order; what is not known is null."""
        elasticity = self.elasticity
        return {
            "format": BACKTEST_FORMAT,
            "events": [
                {
                    **_told(one.event),
                    "predicted": one.changes[OURS],
                    "observed": one.event.observed,
                    "market": one.event.market,
                }
                for one in self.predictions
            ],
            "scores": {method: asdict(found) for method, found in self.scores.items()},
            "elasticity": {
                "estimate": None if elasticity is None else elasticity.estimate,
                "low": None if elasticity is None else elasticity.low,
                "high": None if elasticity is None else elasticity.high,
                "clusters": 0 if elasticity is None else elasticity.clusters,
            },
            "verdict": self.verdict,
        }

    def to_frame(self) -> DataFrame:
        """A row for each event: prices, shares, changes observed and predicted by each method, and our elasticity."""
        need_packages("to_frame", "pandas")
        import pandas as pd

        rows = [
            {
                "market": one.event.market,
                **_told(one.event),
                "observed": one.event.observed,
                **{method: one.changes.get(method, np.nan) for method in METHODS},
                "elasticity": one.elasticity,
            }
            for one in self.predictions
        ]
        return pd.DataFrame(rows).set_index(["market", "day", "provider"]) if rows else pd.DataFrame()

    def parts(self, note: str = "") -> Iterator[Part]:
        """The verdict, the scores, and what the events say of the elasticity."""
        yield f"{self.verdict}{note}"
        if not self.predictions:
            return
        heads = ("method", "sign right", "correlation", "RMSE", f"RMSE below {SMALL:.0%}", "events")
        rows = [
            (method, *map(_short, (found.sign, found.correlation, found.rmse, found.rmse_small)), str(found.events))
            for method, found in self.scores.items()
        ]
        yield Table("changes of log share", heads, rows, heads[1:], ranks=(heads[3],))
        yield self.response

    @property
    def response(self) -> str:
        """The implied elasticity in words; "" without events."""
        found = self.elasticity
        if found is None:
            return ""
        said = f"Own-price elasticity that the events imply: {figure(found.estimate, 3)}"
        if found.low is None or found.high is None:
            return f"{said}; one market alone tells no interval."
        return (
            f"{said}, {LEVEL:.0%} interval {figure(found.low, 3)} to {figure(found.high, 3)}, clustered by market "
            f"({found.clusters})."
        )


def _told(event: Event) -> dict[str, Any]:
    names = ("day", "provider", "old_price", "new_price", "share_before", "share_after")
    return {name: getattr(event, name) for name in names}


def _short(value: float | None) -> str:
    return figure(value, 3)


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"
