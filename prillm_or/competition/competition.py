"""The nouns: what a search for prices at which nobody gains by moving has found, and how far that is proven."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import numpy as np

from prillm_or import __version__
from prillm_or.competition.absence import Absence
from prillm_or.competition.rounds import End
from prillm_or.competition.setting import Setting
from prillm_or.competition.tables import competition_parts
from prillm_or.errors import need_packages
from prillm_or.market.decisions import FACTOR
from prillm_or.market.market import Array, Mask, by_component, by_provider
from prillm_or.market.sanity import costless, implausible
from prillm_or.output.answer import Answer
from prillm_or.output.tables import Part
from prillm_or.result import Caveat

if TYPE_CHECKING:
    from pandas import DataFrame

COMPETITION_FORMAT = "prillm-or/competition@1"


class Status(StrEnum):
    """What is claimed."""

    EQUILIBRIUM = "equilibrium"
    """Prices are known at which no owner was found to gain more than the tolerance; see who is proven to gain none."""
    NONE_FOUND = "no_equilibrium_found"
    """No such prices were found, and nothing is claimed: neither that there are any, nor that there are none."""
    NONE = "no_equilibrium"
    """It is proven that there are no such prices."""


@dataclass(frozen=True)
class Gain:
    """The largest gain of one owner by moving alone, recomputed afresh.

    Parameters
    ----------
    gain
        Currency per period, of the best response that was found, at least 0.
    relative_gain
        Over the profit of that best response, or over 1e-6 of the total demand at the highest price today (of an owner)
        if that is more.
    bound, relative_bound
        Proven bound on the gain of any prices of the owner's, likewise.
    proven
        Whether there is a bound: by `path`, exact, for one price; by `branch` for several.
    note
        For people: how it was checked.
    """

    gain: float
    relative_gain: float
    bound: float
    relative_bound: float
    proven: bool
    note: str


@dataclass(frozen=True, eq=False)
class Standing:
    """A market at some prices, at the users' equilibrium.

    Parameters
    ----------
    decisions, paid
        Shape (k,): what all providers decide, see `Setting`, and which of these anybody pays.
    prices
        Shape (m,), or (m, C) where there are components.
    load, profit
        Shape (m,), by provider; `profit` is (1 - fee) price - unit cost, times the volume billed.
    users_cost
        Sum of the users' costs C_i / w_p,i, currency per period; values count as negative costs.
    platform
        The routing platform's fees from all providers, currency per period.
    kkt_residual
        Of the users' equilibrium; see `prillm_or.users.certificate`.
    """

    decisions: Array
    paid: Mask
    prices: Array
    load: Array
    profit: Array
    users_cost: float
    platform: float
    kkt_residual: float


@dataclass(frozen=True, eq=False)
class PriceEquilibrium:
    """Prices at which no owner was found to gain more than the tolerance by moving.

    Parameters
    ----------
    certificate
        By owner.
    starts
        Names of the starts that ended there.
    rounds
        Of the first of them.
    damped
        Whether its owners had to move half of the way.
    """

    standing: Standing
    certificate: Mapping[str, Gain]
    starts: tuple[str, ...]
    rounds: int
    damped: bool

    @property
    def worst(self) -> float:
        """Largest relative gain of any owner."""
        return max(gain.relative_gain for gain in self.certificate.values())


@dataclass(frozen=True, eq=False)
class NearEquilibrium:
    """Prices at which the largest gain of any owner by moving alone was the least found.

    Parameters
    ----------
    certificate
        By owner.
    epsilons
        By owner: the proven bound on its gain over its profit there, or over what profits count for at least.
    """

    standing: Standing
    certificate: Mapping[str, Gain]
    epsilons: Mapping[str, float]

    @property
    def owner(self) -> str:
        """Who could gain most."""
        return max(self.epsilons, key=lambda name: self.epsilons[name])

    @property
    def epsilon(self) -> float:
        """No owner gains more than this share of its profit there, whatever prices it moves to."""
        return self.epsilons[self.owner]


@dataclass(frozen=True, eq=False)
class Failure:
    """A start that ended nowhere.

    Parameters
    ----------
    end
        How its rounds ended; `settled` if an owner still gained when that was recomputed afresh.
    prices
        Decisions of all, shape (k,) each: one turn of the cycle, or the last of them.
    """

    start: str
    end: End
    prices: Sequence[Array]


@dataclass(frozen=True)
class Range:
    """The least, the mean and the largest of some figures."""

    low: float
    mean: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Range:
        """That of some values, at least one."""
        return cls(float(np.min(values)), float(np.mean(values)), float(np.max(values)))


@dataclass(frozen=True, eq=False, repr=False)
class Competition(Answer):
    """What was found.

    Parameters
    ----------
    today
        The market at today's prices; None where one is absent.
    equilibria
        All that were found, in the order of the starts. There may be others.
    failures
        Starts that ended in no equilibrium.
    nearest
        How near to one the search came; None where an equilibrium was found.
    absence
        The proof that there is none, where one was found.
    turn
        The market at each of the prices of `cycle`.
    rounds
        Played in all.
    starts, seed, tolerance
        As asked for.
    """

    setting: Setting
    today: Standing | None
    equilibria: tuple[PriceEquilibrium, ...]
    failures: tuple[Failure, ...]
    nearest: NearEquilibrium | None
    absence: Absence | None
    turn: tuple[Standing, ...]
    rounds: int
    starts: int
    seed: int
    tolerance: float
    seconds: float

    @property
    def status(self) -> Status:
        """What is claimed."""
        if self.equilibria:
            return Status.EQUILIBRIUM
        return Status.NONE_FOUND if self.absence is None else Status.NONE

    @property
    def warnings(self) -> tuple[Caveat, ...]:
        """What looks like a slip in the market's figures, or a field left out."""
        return (*implausible(self.setting.market), *costless(self.setting.market))

    @property
    def first(self) -> Standing | None:
        """The market at the first equilibrium; None where none was found."""
        return self.equilibria[0].standing if self.equilibria else None

    @property
    def cycle(self) -> Sequence[Array]:
        """Decisions of the first cycle that a start ended in, shape (k,) each; empty if none did."""
        return [standing.decisions for standing in self.turn]

    @property
    def cycle_range(self) -> Mapping[str, Mapping[str, Range]]:
        """Over one turn of the cycle, what is asked (`decisions`) by name and what is earned (`profits`) by owner."""
        setting = self.setting
        if not self.turn:
            return {}
        asked = {
            setting.decisions[k].name: Range.of([standing.decisions[k] for standing in self.turn])
            for k in setting.priced
        }
        profits = [owners_profits(setting, standing) for standing in self.turn]
        return {
            "decisions": asked,
            "profits": {owner.name: Range.of([one[owner.name] for one in profits]) for owner in setting.owners},
        }

    def to_dict(self) -> dict[str, Any]:
        """The fields of the file format, in their order."""
        return _document(self)

    def to_frame(self) -> DataFrame:
        """A row for each provider: its price, load and profit today and at the first equilibrium.

        Where there are components, a price of each: `price_COMPONENT`.
        """
        need_packages("to_frame", "pandas")
        import pandas as pd

        market = self.setting.market
        columns: dict[str, Array] = {}
        asked = [f"price_{component}" for component in market.components] or ["price"]
        for begin, standing in (("", self.first), ("today_", self.today)):
            nothing = np.full(market.m, np.nan)
            prices = [nothing] * len(asked) if standing is None else standing.prices.reshape(market.m, -1).T
            columns |= {f"{begin}{name}": values for name, values in zip(asked, prices, strict=True)}
            columns[f"{begin}load"] = nothing if standing is None else standing.load
            columns[f"{begin}profit"] = nothing if standing is None else standing.profit
        return pd.DataFrame(columns, index=pd.Index(market.provider_ids, name="provider"))

    def parts(self, note: str = "") -> Iterable[Part]:
        """Prices, loads and profits, then what is claimed and why, or the cycle."""
        return competition_parts(self, None, note)


def _document(found: Competition) -> dict[str, Any]:
    setting = found.setting
    first = found.equilibria[0] if found.equilibria else None
    factors = ["factors"] if setting.market.decides == FACTOR else []
    nothing = dict.fromkeys(("prices", *factors, "loads", "profits", "users_cost", "platform_revenue", "certificate"))
    return {
        "format": COMPETITION_FORMAT,
        "instance": setting.market.name,
        "status": str(found.status),
        "owners": {owner.name: list(owner.providers) for owner in setting.owners},
        "caps": {setting.decisions[k].name: float(setting.cap[k]) for k in setting.priced},
        "platform_fee": setting.fee,
        **(nothing if first is None else _equilibrium(setting, first)),
        "equilibria": [_equilibrium(setting, one) for one in found.equilibria],
        "nearest": None if found.nearest is None else _nearest(setting, found.nearest),
        "absence": None if found.absence is None else asdict(found.absence),
        "cycle": [by_component(setting.market, standing.prices) for standing in found.turn],
        "cycle_range": {
            what: {name: asdict(figures) for name, figures in ranges.items()}
            for what, ranges in found.cycle_range.items()
        }
        or None,
        "unsettled": [{"start": failure.start, "end": str(failure.end)} for failure in found.failures],
        "rounds": found.rounds,
        "starts": found.starts,
        "seed": found.seed,
        "tolerance": found.tolerance,
        "today": None if found.today is None else _standing(setting, found.today),
        "warnings": [asdict(warning) for warning in found.warnings],
        "time_s": found.seconds,
        "version": __version__,
    }


def _equilibrium(setting: Setting, one: PriceEquilibrium) -> dict[str, Any]:
    return {
        **_standing(setting, one.standing),
        "certificate": {name: asdict(gain) for name, gain in one.certificate.items()},
        "starts": list(one.starts),
        "rounds": one.rounds,
        "damped": one.damped,
    }


def _nearest(setting: Setting, near: NearEquilibrium) -> dict[str, Any]:
    return {
        **_standing(setting, near.standing),
        "epsilon": near.epsilon,
        "owner": near.owner,
        "gain": near.certificate[near.owner].bound,
        "epsilons": dict(near.epsilons),
        "certificate": {name: asdict(gain) for name, gain in near.certificate.items()},
    }


def owners_profits(setting: Setting, standing: Standing) -> dict[str, float]:
    """What each owner earns, by its name."""
    return {
        owner.name: float(standing.profit[list(places)].sum())
        for owner, places in zip(setting.owners, setting.places, strict=True)
    }


def _standing(setting: Setting, standing: Standing) -> dict[str, Any]:
    factors = {}
    if setting.market.decides == FACTOR:
        named = zip(setting.decisions, standing.decisions.tolist(), strict=True)
        factors = {"factors": {decision.name: factor for decision, factor in named}}
    return {
        "prices": by_component(setting.market, standing.prices),
        **factors,
        "loads": by_provider(setting.market, standing.load),
        "profits": owners_profits(setting, standing),
        "users_cost": standing.users_cost,
        "platform_revenue": standing.platform,
        "kkt_residual": standing.kkt_residual,
    }
