"""Page of a backtest: the verdict, the scores, the picture of predicted against observed changes, and the events."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from prillm_or import __version__
from prillm_or.backtesting.predictions import METHODS, Prediction
from prillm_or.backtesting.result import Backtest
from prillm_or.backtesting.scores import SMALL
from prillm_or.calibration.calibration import OURS
from prillm_or.calibration.price_events import LEAST_SHARE
from prillm_or.output.canvas import drawing
from prillm_or.output.numbers import figure, percent, signed
from prillm_or.report.templates import NARROW, WIDE, fill

_HEIGHT = 3.9
_OURS, _OTHER = "#0072B2", "#D55E00"
_CAPTION = "Predicted against observed change of log share: each mark a price that changed"
_SCORES = ("method", "sign right", "correlation", "RMSE", f"RMSE of moves below {SMALL:.0%}", "events")
_EVENTS = ("provider", "market", "time", "price", "share", "observed", "predicted", "elasticity")


def backtest_page(backtest: Backtest) -> str:
    """Fill `backtest.html.jinja`."""
    sizes = (("wide", WIDE), ("narrow", NARROW))
    drawn = {form: event_picture(backtest, width, form) for form, width in sizes} if backtest.predictions else {}
    return fill(
        "backtest.html.jinja",
        verdict=backtest.verdict,
        response=backtest.response,
        markets=len(set(backtest.markets)),
        least=f"{backtest.least:.3g}",
        floor=f"{LEAST_SHARE:g}",
        small=f"{SMALL:.0%}",
        score_headings=_SCORES,
        scores=_score_rows(backtest) if backtest.predictions else [],
        pictures=[{"caption": _CAPTION, "forms": drawn}] if drawn else [],
        event_headings=_EVENTS,
        events=[_event_row(prediction) for prediction in backtest.predictions],
        version=__version__,
    )


def event_picture(backtest: Backtest, width: float, name: str) -> str:
    """Draw predicted against observed changes of log share, moves below `SMALL` and others apart."""
    predicted, observed = backtest.predicted(), backtest.observed
    small = np.abs([prediction.event.step for prediction in backtest.predictions]) < np.log(1.0 + SMALL)
    low, high = (float(end) for end in (min(predicted.min(), observed.min()), max(predicted.max(), observed.max())))
    margin = 0.05 * (high - low) or 1.0
    ends = [low - margin, high + margin]
    with drawing(width, name, _HEIGHT) as (axes, done):
        axes.plot(ends, ends, color="#999999", linewidth=1, linestyle=(0, (4, 3)), label="predicted = observed")
        axes.axhline(0.0, color="#cccccc", linewidth=1)
        axes.axvline(0.0, color="#cccccc", linewidth=1)
        kinds = (
            (f"price moved by less than {SMALL:.0%}", small, "o", _OURS),
            ("by more", ~small, "D", _OTHER),
        )
        for label, chosen, sign, colour in kinds:
            if chosen.any():
                points = (observed[chosen], predicted[chosen])
                axes.plot(*points, sign, color=colour, markersize=4, markeredgewidth=0, label=label)
        axes.set_xlim(*ends)
        axes.set_ylim(*ends)
        axes.set_xlabel("observed change of log share")
        axes.set_ylabel("predicted change of log share")
    return done[0]


def _score_rows(backtest: Backtest) -> list[Sequence[str]]:
    scores = backtest.scores
    return [
        (
            method,
            "-" if scores[method].sign is None else percent(scores[method].sign, 0),
            *(figure(value, 3) for value in _figures(backtest, method)),
            str(scores[method].events),
        )
        for method in METHODS
    ]


def _figures(backtest: Backtest, method: str) -> tuple[float | None, ...]:
    found = backtest.scores[method]
    return (found.correlation, found.rmse, found.rmse_small)


def _event_row(prediction: Prediction) -> Sequence[str]:
    event = prediction.event
    return (
        event.provider,
        event.market,
        event.day,
        f"{figure(event.old_price, 4)} to {figure(event.new_price, 4)}",
        f"{percent(event.share_before)} to {percent(event.share_after)}",
        signed(event.observed),
        signed(prediction.changes[OURS]),
        "-" if np.isnan(prediction.elasticity) else figure(prediction.elasticity, 3),
    )
