"""The nouns: what a fit leaves open of each decision, and what to try next."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from prillm_or import __version__
from prillm_or.calibration.noise import WINDOW
from prillm_or.errors import need_packages
from prillm_or.experiments.points import LEVEL
from prillm_or.experiments.trial import Trial
from prillm_or.market.market import Units
from prillm_or.output.answer import Answer
from prillm_or.output.numbers import figure, percent
from prillm_or.output.tables import Part, Table

if TYPE_CHECKING:
    from pandas import DataFrame

EXPERIMENT_FORMAT = "prillm-or/experiment@1"


@dataclass(frozen=True)
class Open:
    """What a fit leaves open of one decision, and what would tell.

    Parameters
    ----------
    range
        Best prices that hold `LEVEL` of what may be true.
    guess
        The price with the highest mean profit.
    doubt
        What not knowing costs a period at the best guess: how far its mean profit is below that of the best prices.
    wished
        The width of the range that is narrow enough.
    trial
        What to try, None where the range is narrow enough, or nothing can be tried.
    """

    range: tuple[float, float]
    guess: float
    doubt: float
    wished: float
    trial: Trial | None

    @property
    def narrow(self) -> bool:
        """Whether the range is no wider than wished."""
        return self.range[1] - self.range[0] <= self.wished


@dataclass(frozen=True, repr=False)
class Experiment(Answer):
    """What to try next, by decision, or that it is time to stop.

    Parameters
    ----------
    instance
        Name of the fitted market.
    points
        How many markets may be right.
    decisions
        What is open of each of the leader's decisions, by name, and what to try.
    width, power, noise
        What was asked for: the width as a share of the best guess.
    units
        Of the market.
    """

    instance: str
    points: int
    decisions: Mapping[str, Open]
    width: float
    power: float
    noise: float
    units: Units

    @property
    def trials(self) -> dict[str, Trial]:
        """What to try, by decision, the cheapest first."""
        found = {name: one.trial for name, one in self.decisions.items() if one.trial is not None}
        return dict(sorted(found.items(), key=lambda item: item[1].cost))

    @property
    def reached(self) -> bool:
        """Whether every range is narrow enough, or a trial is likely enough to make it so."""
        return all(
            one.narrow or (one.trial is not None and one.trial.power >= self.power) for one in self.decisions.values()
        )

    @property
    def stop(self) -> str:
        """Whether to stop, in a sentence."""
        if all(one.narrow for one in self.decisions.values()):
            return "Stop: the range of best prices is narrow enough."
        return "Go on: the range of best prices is wider than wished."

    def to_dict(self) -> dict[str, Any]:
        """The fields of the file format, in their order."""
        return {
            "format": EXPERIMENT_FORMAT,
            "instance": self.instance,
            "trials": [
                {
                    "decision": name,
                    "price": trial.price,
                    "days": trial.days,
                    "cost": trial.cost,
                    "power": trial.power,
                    "against": trial.against,
                    "width": trial.width,
                }
                for name, trial in self.trials.items()
            ],
            "stop": self.stop,
            "decisions": {
                name: {"range": list(one.range), "guess": one.guess, "doubt": one.doubt, "wished": one.wished}
                for name, one in self.decisions.items()
            },
            "points": self.points,
            "width": self.width,
            "power": self.power,
            "noise": self.noise,
            "version": __version__,
        }

    def to_frame(self) -> DataFrame:
        """A row for each trial."""
        need_packages("to_frame", "pandas")
        import pandas as pd

        return pd.DataFrame(self.to_dict()["trials"]).set_index("decision") if self.trials else pd.DataFrame()

    def parts(self, note: str = "") -> Iterator[Part]:
        """Whether to stop, what to try, and what is open."""
        yield " ".join(self._sentences())
        columns = ("decision", "best guess", "from", "to", "doubt costs", "try", "days", "costs", "power", "then width")
        rows = [_row(name, one) for name, one in self.decisions.items()]
        title = (
            f"{self.instance}{note}: {LEVEL:.0%} of {self.points} points; prices in {self.units.of_prices}, doubt in "
            f"{self.units.of_money}, costs in {self.units.currency}"
        )
        yield Table(title, columns, rows, columns[1:])
        yield (
            f"Planned for a noise of {figure(self.noise, 3)}: the standard deviation of the change of log load between "
            f"neighbouring {WINDOW}-day windows at one price."
        )

    def _sentences(self) -> Iterator[str]:
        yield self.stop
        for name, one in self.decisions.items():
            low, high = (figure(end, 4) for end in one.range)
            wide = percent((one.range[1] - one.range[0]) / one.guess, 0) if one.guess > 0 else "all"
            yield (
                f"The best of {name} runs from {low} to {high}, {wide} of the best guess, {figure(one.guess, 4)}; "
                f"{percent(self.width, 0)} is wished."
            )
            if one.trial is not None:
                yield from self._told(name, one, one.trial)

    def _told(self, name: str, one: Open, trial: Trial) -> Iterator[str]:
        price, against = figure(trial.price, 4), figure(trial.against, 4)
        yield (
            f"Ask {price} for {name} for {WINDOW} days and {against} for {WINDOW} days, in turn, {trial.days} days in "
            f"all: that costs {figure(trial.cost, 3)} {self.units.currency} against asking the best guess all along. "
            f"To know the best price would bring {figure(one.doubt, 3)} a {self.units.period}."
        )
        if one.doubt > 0:
            yield f"So it pays for itself after {trial.cost / one.doubt:.0f} {self.units.period}s at the earliest."
        if trial.power >= self.power:
            yield f"It narrows the range enough with a power of {trial.power:.2f}."
        else:
            yield (
                f"No trial of so many days narrows the range enough with a power of {self.power:g}: this one has "
                f"{trial.power:.2f}, and makes it {figure(trial.width, 3)} wide on average."
            )
        yield "After each pair of windows calibrate again with its days (--warm), and run this on the new fit."


def _row(name: str, one: Open) -> tuple[str, ...]:
    trial = one.trial
    tried = ("-",) * 5
    if trial is not None:
        tried = (
            figure(trial.price, 4),
            str(trial.days),
            figure(trial.cost, 3),
            f"{trial.power:.2f}",
            figure(trial.width, 3),
        )
    return (name, figure(one.guess, 4), *(figure(end, 4) for end in one.range), figure(one.doubt, 3), *tried)
