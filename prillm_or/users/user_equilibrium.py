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
from prillm_or.market.decisions import FACTOR, all_prices
from prillm_or.market.market import Array, Market, by_component, by_decision, by_provider
from prillm_or.output.answer import Answer
from prillm_or.output.numbers import figure
from prillm_or.output.plots import on_axes
from prillm_or.output.tables import Part, Table
from prillm_or.output.words import TIE
from prillm_or.result import Certificate
from prillm_or.users.certificate import certified, profit_of
from prillm_or.users.equilibrium import Equilibrium, solve_users
from prillm_or.users.problem import user_problem

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
        With the prices it belongs to, and where a leader decides factors with the lists that they multiply.
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

    @property
    def prices(self) -> Array:
        """Prices of all providers, shape (m,), or (m, C) where there are components."""
        return all_prices(self.market, self.found.prices)

    @cached_property
    def loads(self) -> Series[float]:
        """Volume units that each provider serves, by its id."""
        need_packages("loads", "pandas")
        from pandas import Series

        return Series(self.found.load, index=list(self.market.provider_ids), name="load").rename_axis("provider")

    @cached_property
    def billed(self) -> DataFrame:
        """Volumes that each provider bills of each component: providers by components, of a market that has them."""
        need_packages("billed", "pandas")
        from pandas import DataFrame

        market = self.market
        table = self.found.billed if market.components else np.empty((market.m, 0))
        frame = DataFrame(table, index=list(market.provider_ids), columns=list(market.components))
        return frame.rename_axis(index="provider", columns="component")

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
        factors = {"factors": by_decision(market, found.prices)} if market.decides == FACTOR else {}
        billed = {"billed": by_component(market, found.billed)} if market.components else {}
        return {
            "format": EQUILIBRIUM_FORMAT,
            "prices": by_component(market, self.prices),
            **factors,
            "loads": by_provider(market, found.load),
            **billed,
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
        market = self.market
        yield self._providers(note)
        if market.components:
            rows = [(name, *map(figure, row)) for name, row in zip(market.provider_ids, self.found.billed, strict=True)]
            columns = market.components
            yield Table(f"billed, in {market.units.of_volume}", ("provider", *columns), rows, columns)
        if market.n * market.m <= _MOST_FLOWS:
            yield self._users()
        yield f"profit {figure(self.profit, 10)} {market.units.of_money}"
        yield f"certified to {figure(self.certificate.worst, 1)}"

    def _providers(self, note: str) -> Table:
        market, found, units = self.market, self.found, self.market.units
        prices = self.prices.reshape(market.m, -1)
        asked = [f"{component} price" for component in market.components] or ["price"]
        factors = by_decision(market, found.prices) if market.decides == FACTOR else {}
        congestion = found.load / market.capacity if market.congested else None
        rows = [
            (
                name + _leads(name, factors, j in market.leader),
                *map(figure, prices[j]),
                figure(found.load[j]),
                *([] if congestion is None else [figure(congestion[j])]),
                str(int((found.flow[:, j] > 0).sum())),
            )
            for j, name in enumerate(market.provider_ids)
        ]
        columns = (*asked, "load", *([] if congestion is None else ["congestion"]), "users")
        title = f"{market.name}{note}: providers; prices in {units.of_prices}, loads and flows in {units.of_volume}"
        return Table(title, ("provider", *columns), rows, columns, ranks=(asked[0], "load", *asked[1:]))

    def _users(self) -> Table:
        """Flows, and beside them mixes and counts where users differ in them."""
        market, found = self.market, self.found
        columns: dict[str, list[str]] = {"user": list(market.user_ids)}
        if (market.count > 1).any():
            columns["count"] = [figure(count) for count in market.count.tolist()]
        if (market.mix != market.mix[0]).any():
            columns["mix"] = [_listed(market.components, mix, 3) for mix in market.mix]
        columns["marginal cost"] = [figure(cost, 5) for cost in found.multiplier.tolist()]
        columns["uses"] = [_listed(market.provider_ids, flows) for flows in found.flow]
        numbers, texts = ("count", "marginal cost"), ("mix", "uses")
        return Table("flows", list(columns), list(zip(*columns.values(), strict=True)), numbers, texts, ("uses",))

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the flows, on new axes if none are given; see `flows_plot.py`."""
        from prillm_or.users.flows_plot import flows_height, plot_flows

        return on_axes(ax, lambda axes: plot_flows(axes, self.market, self.found), flows_height(self.market))


def _leads(name: str, factors: Mapping[str, float], leads: bool) -> str:
    """What is said of a provider beside its name."""
    return f" (leader, factor {figure(factors[name])})" if name in factors else " (leader)" if leads else ""


def _listed(names: Sequence[str], amounts: Array, digits: int = 5) -> str:
    """Whom a user uses, or what it asks for, and how much; the most first."""
    used = [j for j in np.argsort(-amounts, kind="stable").tolist() if amounts[j] > 0]
    return ", ".join(f"{names[j]}{TIE}{figure(amounts[j], digits)}" for j in used)


def equilibrium(market: AnyMarket, prices: Mapping[str, Any] | None = None) -> UserEquilibrium:
    """Find the users' equilibrium at given prices, and certify it.

    Parameters
    ----------
    market
        A market, one with its file, the path of a file, or the name of a shipped one.
    prices
        By id, of any providers, currency per volume unit; the others' are those of the market. Where there are
        components, that of one is called `ID.COMPONENT`, or given in an object by component, as in a result's `prices`;
        a number by id is that of all. What a leader that decides factors is given by id is the factor.

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
    priced, decisions = _priced(as_market(market), {} if prices is None else prices)
    if np.isnan(decisions).any():
        absent = [name for name, value in by_decision(priced, decisions).items() if np.isnan(value)]
        raise CombinationError(
            f"{priced.name}: no price today for {', '.join(absent)}: give "
            f"{argument('prices', flag=f'--price {absent[0]}=VALUE')}"
        )
    found = solve_users(user_problem(priced), decisions)
    return UserEquilibrium(priced, found, certified(priced, decisions, found.flow))


def _priced(market: Market, prices: Mapping[str, Any]) -> tuple[Market, Array]:
    """The market with other prices as today's, and the leader's decisions then."""
    if not isinstance(prices, Mapping):
        raise ArgumentError(f"{argument('prices')}: expected prices by id, got {type(prices).__name__}")
    price, factors, faults = market.price.copy(), dict.fromkeys(market.leader_ids, 1.0), []
    factors = factors if market.decides == FACTOR else {}
    for name, value in _one_by_one(prices):
        place = _place(market, name)
        given = argument("prices", flag=f"--price {name}={value:g}" if is_number(value) else None)
        if place is None:
            faults.append(f"{given}: {_no_place(market, name)}")
        elif not is_number(value) or not 0 <= value < np.inf:
            faults.append(f"{given}: expected a finite number >= 0, got {value!r} for {name!r}")
        elif name in factors:
            factors[name] = value
        elif market.provider_ids[place[0]] in factors:
            own = market.provider_ids[place[0]]
            faults.append(
                f"{given}: the leader decides a factor of the list of {own}, not its prices; give {own}=FACTOR"
            )
        else:
            price[place] = value
    if faults:
        raise ArgumentError("\n".join(faults))
    market = replace(market, price=price)
    return market, np.array(list(factors.values())) if factors else market.current


def _one_by_one(prices: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Prices by name, those of a provider's components by theirs."""
    for name, value in prices.items():
        if isinstance(value, Mapping):
            yield from ((f"{name}.{component}", one) for component, one in value.items())
        else:
            yield name, value


def _place(market: Market, name: str) -> tuple[int, ...] | None:
    """Where in the prices a name is: a provider, or else, split at its last dot, a provider's component."""
    if name in market.provider_ids:
        return (market.provider_ids.index(name),)
    provider, _, component = str(name).rpartition(".")
    if provider in market.provider_ids and component in market.components:
        return market.provider_ids.index(provider), market.components.index(component)
    return None


def _no_place(market: Market, name: object) -> str:
    provider, _, component = str(name).rpartition(".")
    if provider in market.provider_ids and market.components:
        return f"no component is called {component!r}{meant(component, list(market.components))}"
    return f"no provider has the id {name!r}{meant(str(name), list(market.provider_ids))}"
