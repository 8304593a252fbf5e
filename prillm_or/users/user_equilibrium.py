"""The users' equilibrium of a market at given prices, by the names of users and providers, with its certificate."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from prillm_or.errors import ArgumentError, CombinationError, argument, is_number, need_packages
from prillm_or.files.markets import AnyMarket, as_market
from prillm_or.market.checks import meant
from prillm_or.market.market import Array, Market, by_provider
from prillm_or.output.answer import Answer
from prillm_or.output.numbers import figure
from prillm_or.output.plots import on_axes
from prillm_or.output.tables import Part, Table
from prillm_or.output.words import TIE
from prillm_or.result import Certificate
from prillm_or.users.certificate import certified, profit_of
from prillm_or.users.equilibrium import Equilibrium, solve_users, user_problem

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from pandas import DataFrame, Series

EQUILIBRIUM_FORMAT = "prillm-or/equilibrium@1"

_MOST_FLOWS = 400


@dataclass(frozen=True, eq=False, repr=False)
class UserEquilibrium(Answer):
    """Who routes what where at the prices of a market.

    Parameters
    ----------
    market
        With the prices it belongs to.
    found
        The equilibrium by positions.
    certificate
        Of `found`, computed by code that shares nothing with what found it.
    """

    market: Market
    found: Equilibrium
    certificate: Certificate

    @property
    def profit(self) -> float:
        """The leader's profit, currency per period."""
        return profit_of(self.market, self.found.prices, self.found.billed)

    @cached_property
    def loads(self) -> Series[float]:
        """Volume units that each provider serves, by its id."""
        need_packages("loads", "pandas")
        from pandas import Series

        return Series(self.found.load, index=list(self.market.provider_ids), name="load").rename_axis("provider")

    @cached_property
    def flows(self) -> DataFrame:
        """Volume units that each user routes to each provider: users by providers."""
        need_packages("flows", "pandas")
        from pandas import DataFrame

        frame = DataFrame(self.found.flow, index=list(self.market.user_ids), columns=list(self.market.provider_ids))
        return frame.rename_axis(index="user", columns="provider")

    def to_dict(self) -> dict[str, Any]:
        """The fields of the file format; flows that are zero are left out."""
        market, found = self.market, self.found
        flows = {
            user: {market.provider_ids[j]: float(found.flow[i, j]) for j in found.flow[i].nonzero()[0]}
            for i, user in enumerate(market.user_ids)
        }
        return {
            "format": EQUILIBRIUM_FORMAT,
            "prices": by_provider(market, market.price),
            "loads": by_provider(market, found.load),
            "flows": flows,
            "multipliers": dict(zip(market.user_ids, found.multiplier.tolist(), strict=True)),
            "profit": self.profit,
            "certificate": asdict(self.certificate),
        }

    def to_frame(self) -> DataFrame:
        """A row for each pair in use: user, provider, flow."""
        need_packages("to_frame", "pandas")
        from pandas import DataFrame

        market, flow = self.market, self.found.flow
        rows = [(market.user_ids[i], market.provider_ids[j], float(flow[i, j])) for i, j in np.argwhere(flow > 0)]
        return DataFrame(rows, columns=["user", "provider", "flow"])

    def parts(self, note: str = "") -> Iterator[Part]:
        """See `Answer`; flows of large markets are left to `to_dict`."""
        market, found = self.market, self.found
        rows = [
            (
                name + (" (leader)" if j in market.leader else ""),
                figure(market.price[j]),
                figure(found.load[j]),
                figure(found.load[j] / market.capacity[j]),
                str(int((found.flow[:, j] > 0).sum())),
            )
            for j, name in enumerate(market.provider_ids)
        ]
        columns = ("provider", "price", "load", "congestion", "users")
        units = market.units
        title = f"{market.name}{note}: providers; prices in {units.of_prices}, loads and flows in {units.of_volume}"
        yield Table(title, columns, rows, columns[1:], ranks=("price", "load"))
        if market.n * market.m <= _MOST_FLOWS:
            flows = [
                (user, figure(found.multiplier[i], 5), _listed(market.provider_ids, found.flow[i]))
                for i, user in enumerate(market.user_ids)
            ]
            yield Table("flows", ("user", "marginal cost", "uses"), flows, ("marginal cost",), ("uses",), ("uses",))
        yield f"profit {figure(self.profit, 10)} {units.of_money}"
        yield f"certified to {figure(self.certificate.worst, 1)}"

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the flows, on new axes if none are given; see `flows_plot.py`."""
        from prillm_or.users.flows_plot import flows_height, plot_flows

        return on_axes(ax, lambda axes: plot_flows(axes, self.market, self.found), flows_height(self.market))


def _listed(names: Sequence[str], flows: Array) -> str:
    """Whom a user uses, and how much; the most used first."""
    used = [j for j in np.argsort(-flows, kind="stable").tolist() if flows[j] > 0]
    return ", ".join(f"{names[j]}{TIE}{figure(flows[j], 5)}" for j in used)


def equilibrium(market: AnyMarket, prices: Mapping[str, float] | None = None) -> UserEquilibrium:
    """Find the users' equilibrium at given prices, and certify it.

    Parameters
    ----------
    market
        A market, one with its file, the path of a file, or the name of a shipped one.
    prices
        By id, of any providers, currency per volume unit; the others' are those of the market.

    Raises
    ------
    ArgumentError
        When an id is unknown or a price is no finite number >= 0; it lists every fault.
    CombinationError
        When a price of the leader's is absent from the market and from `prices`.
    ConvergenceError
        When no equilibrium can be settled in double precision, or what was found cannot be certified.

    Examples
    --------
    >>> found = equilibrium("tiny/one-rival", {"lead": 2.0})
    >>> found.market.leader_ids, round(found.profit, 6)
    (('lead',), 4.0)
    """
    priced = _priced(as_market(market), {} if prices is None else prices)
    if priced.today is None:
        absent = [name for name, j in zip(priced.leader_ids, priced.leader, strict=True) if np.isnan(priced.price[j])]
        raise CombinationError(
            f"{priced.name}: no price today for {', '.join(absent)}: give "
            f"{argument('prices', flag=f'--price {absent[0]}=VALUE')}"
        )
    found = solve_users(user_problem(priced), priced.today)
    return UserEquilibrium(priced, found, certified(priced, priced.today, found.flow))


def _priced(market: Market, prices: Mapping[str, float]) -> Market:
    """The market with other prices as today's."""
    if not isinstance(prices, Mapping):
        raise ArgumentError(f"{argument('prices')}: expected prices by id, got {type(prices).__name__}")
    faults = [*_faults(market.provider_ids, prices)]
    if faults:
        raise ArgumentError("\n".join(faults))
    price = market.price.copy()
    for name, value in prices.items():
        price[market.provider_ids.index(name)] = value
    return replace(market, price=price)


def _faults(ids: Sequence[str], prices: Mapping[str, float]) -> Iterator[str]:
    for name, value in prices.items():
        given = argument("prices", flag=f"--price {name}={value:g}" if is_number(value) else None)
        if name not in ids:
            yield f"{given}: no provider has the id {name!r}{meant(str(name), list(ids))}"
        elif not is_number(value) or not 0 <= value < np.inf:
            yield f"{given}: expected a finite number >= 0, got {value!r} for {name!r}"
