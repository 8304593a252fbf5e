"""Pricer: the best decisions of a market that changes, proven anew after each change.

One decision: after a small change most users use whom they used before. So the equilibria of the last search, where it
began and where it leapt, are where those of the next are looked for: mostly one or two Newton steps away. The next
begins at the price up to which the last best price shows that the profit rose (`solvers/monotone.py`); where that does
not show it any more it begins lower. Several: `branch` starts from the last best ones alone. Either ends with the same
proof as a cold search.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from prillm_or import __version__
from prillm_or.errors import ConvergenceError
from prillm_or.files.markets import AnyMarket, as_market
from prillm_or.limits import Limits
from prillm_or.market.changes import Change, apply
from prillm_or.market.market import Array, Market, Mask
from prillm_or.result import Method, Result, Status, Times
from prillm_or.solvers.monotone import Point
from prillm_or.solvers.path import Path, Search, Start, proposal_of
from prillm_or.solvers.protocols import Ended, Proposal
from prillm_or.solvers.small_path import is_small
from prillm_or.solving.judge import judge, weigh
from prillm_or.solving.recheck import decided_in
from prillm_or.users.equilibrium import Equilibrium, solve_users
from prillm_or.users.problem import UserProblem, user_problem

_LIMITS = Limits()


class Pricer:
    """A market and its best decisions, both kept up to date.

    Parameters
    ----------
    market
        A market, one with its file, the path of a file, or the name of a shipped one.

    Examples
    --------
    >>> from prillm_or.market.synthetic import generate
    >>> pricer = Pricer(generate(5, 4, "uniform", 1))
    >>> before = pricer.result.profit
    >>> pricer.update({"remove": {"providers": ["p1"]}}).profit > before
    True
    """

    def __init__(self, market: AnyMarket) -> None:
        # One attribute, so that no interruption can part what belongs together.
        self._state = _priced(as_market(market), None, time.perf_counter())

    @property
    def market(self) -> Market:
        """The market after the last change."""
        return self._state.market

    @property
    def result(self) -> Result:
        """Its best decisions, and what is proven of them."""
        return self._state.result

    def update(self, change: Change) -> Result:
        """Change the market and price it anew; on any error both stay as they were.

        Parameters
        ----------
        change
            What is new, in the market's units; several things come together, or not at all:
            `{"users": {"u1": {"demand": 3.0, "weights": {"price": 1.2}}}, "providers": {"p1": {"price": 0.4}}}`, where
            users also have `mix`, `count`, `dispersion` and `values`, and providers `capacity`, `value`, `unit_cost`
            and `dispersion`; prices, unit costs and mixes may be objects by component; `{"delays": {"u1": {"p1":
            0.2}}}`; `{"price_cap": 9.0}`; `{"add": {"providers": [{"id": "p9", "price": 0.3, "capacity": 1.5, "delays":
            0.5}]}}`, users likewise, with `demand`; `{"remove": {"users": ["u2"]}}`. What an object leaves out stays.

        Raises
        ------
        MarketError
            When the change breaks a rule; it lists every fault.
        ConvergenceError
            When an equilibrium of the changed market could not be certified.
        """
        began = time.perf_counter()
        self._state = _priced_after(apply(self.market, change), self._state, began)
        return self.result

    def what_if(self, change: Change | Market) -> Result:
        """Price the market as a change would make it, and leave it as it is; see `update` for changes and errors.

        In place of a change the changed market may be given.
        """
        began = time.perf_counter()
        market = change if isinstance(change, Market) else apply(self.market, change)
        return _priced_after(market, self._state, began).result

    def best_if(self, market: Market) -> tuple[Array, float]:
        """The best decisions of the market as changed, shape (k,), and their profit: of `what_if`, without the rest."""
        if self.result.status is not Status.ERROR:
            with suppress(ConvergenceError):
                users = user_problem(market)
                proposal, search = _proposed(market, users, self._state)
                if proposal.ended is Ended.INTERRUPTED:
                    raise KeyboardInterrupt  # half a search is none
                if proposal.ended is Ended.FINISHED and (prices := proposal.prices) is not None:
                    near = None if search is None else search.near(float(prices[0]))
                    weighed = weigh(market, users, prices, proposal.upper_bound, near)
                    if weighed.consistent:
                        return prices, weighed.profit
        result = self.what_if(market)
        return decided_in(market, result), result.profit


@dataclass(frozen=True, eq=False)
class _State:
    """A market, its result, the equilibria that were solved on the way, and a price up to which the profit rises."""

    market: Market
    result: Result
    known: Sequence[Equilibrium]
    start: float


def _priced_after(market: Market, before: _State, began: float) -> _State:
    """Price a market from where the last one ended; afresh where that fails, or ends in an error."""
    if before.result.status is not Status.ERROR:
        with suppress(ConvergenceError):
            state = _priced(market, before, began)
            if state.result.status is not Status.ERROR:
                return state
    return _priced(market, None, began)


def _priced(market: Market, before: _State | None, began: float) -> _State:
    """Price a market, starting from what is known of a market much like it."""
    users = user_problem(market)
    proposal, search = _proposed(market, users, before)
    known = () if search is None else search.known
    result, start = _judged(market, users, proposal, known, began), 0.0
    if search is not None:
        start = search.bounds.rising_to(Point(result.price, next(iter(result.loads.values()))))
        known = [*known, solve_users(users, [start], search.near(start))]  # where the next search begins
    return _State(market, result, known, start)


def _proposed(market: Market, users: UserProblem, before: _State | None) -> tuple[Proposal, Search | None]:
    """What a search finds, starting from what is known of a market much like it; and the search, if it was one."""
    if len(market.decisions) > 1:
        from prillm_or.solvers.branch import Branch  # and a solver of quadratic programmes, which one price needs not

        return Branch(None if before is None else decided_in(before.market, before.result)).solve(market, _LIMITS), None
    if not market.plain or is_small(users):
        return Path().solve(market, _LIMITS), None
    search = Search(market, users, () if before is None else _carried_over(before, market, users))
    if before is None:
        search.climb()
    else:
        search.look(min(before.start, float(market.price_cap[0])))
    try:
        for _ in search.steps():
            pass
    except ConvergenceError:
        search.coarse = True
    return proposal_of(search, market, Ended.FINISHED, _LIMITS), search


def _judged(
    market: Market, users: UserProblem, proposal: Proposal, known: Sequence[Equilibrium], began: float
) -> Result:
    """The result of a search that began then."""
    if proposal.ended is Ended.INTERRUPTED:
        raise KeyboardInterrupt  # half a search is none
    seconds = time.perf_counter() - began
    method = Method("path" if len(market.decisions) == 1 else "branch", __version__)
    return judge(market, users, proposal, method, _LIMITS, known, Times(total=seconds, solve=seconds))


def _carried_over(before: _State, market: Market, users: UserProblem) -> list[Start]:
    """The equilibria before the change, each with a support that suits the market after it."""
    if not before.known:
        return []
    old, was = before.market, before.known[0].users
    # An equilibrium is a start by its support alone. Its linear system stays right while nobody comes or goes and all
    # capacities and widths stand still; else a new one is made, if and when the start is used.
    if (old.user_ids, old.provider_ids) != (market.user_ids, market.provider_ids):
        suit = _Moves(old, market, users).support
    elif not (np.array_equal(was.capacity, users.capacity) and np.array_equal(was.width, users.width)):

        def suit(found: Equilibrium) -> Mask:
            return found.support

    else:
        return [(float(found.prices[0]), partial(lambda found: found, found)) for found in before.known]

    def carry(found: Equilibrium) -> Equilibrium:
        return Equilibrium(users, found.prices, found.level, found.congestion, users.laplacian(suit(found)))

    return [(float(found.prices[0]), partial(carry, found)) for found in before.known]


class _Moves:
    """Who stays, leaves and comes as one market becomes another."""

    def __init__(self, old: Market, new: Market, users: UserProblem) -> None:
        self._users = users
        self._rows, self._columns = _places(old.user_ids, new.user_ids), _places(old.provider_ids, new.provider_ids)
        # Who uses the new rivals, by the first equilibrium that is asked for: near enough for a start from any other.
        self._at: Mask | None = None
        self._new_users, self._new_providers = np.flatnonzero(self._rows < 0), np.flatnonzero(self._columns < 0)

    def support(self, found: Equilibrium) -> Mask:
        """A support for the new market much like that of an equilibrium of the old one.

        Whoever is left without a provider gets the cheapest.
        """
        # Position -1, of whoever is new, picks the old support's last row or column, which is overwritten at once.
        support = found.support[self._rows][:, self._columns]
        support[self._new_users] = False
        support[:, self._new_providers] = self._drawn(found) if self._at is None else self._at
        if len(alone := np.flatnonzero(~support.any(axis=1))):
            congestion = np.where(self._columns < 0, 0.0, found.congestion[self._columns])
            support[alone, (self._users.offsets(found.prices)[alone] + congestion).argmin(axis=1)] = True
        return support

    def _drawn(self, found: Equilibrium) -> Mask:
        """Users of the new rivals, shape (n, new), the same for equilibria at other prices.

        They are those whom a rival serves if nobody else's cost changes: with lift l_i - g_ij of user i its congestion
        solves alpha_j q = sum_i a_ij max(0, lift_i - q).
        """
        users = self._users
        level = found.multiplier[self._rows] / users.scale - users.shift
        level[self._new_users] = -np.inf  # not known yet: a new user gets the cheapest provider instead
        lift = level[:, None] - users.base[:, self._new_providers]
        # With the k largest lifts in use q is their sum, each in shares w = a_ij / alpha_j, over 1 + the sum of shares,
        # which grows with k as long as the next lift exceeds it: the largest is the right one.
        width = np.broadcast_to(users.width, users.base.shape)[:, self._new_providers]
        order = np.argsort(-lift, axis=0, kind="stable")
        best = np.maximum(np.take_along_axis(lift, order, axis=0), 0.0)
        share = np.take_along_axis(width / users.capacity[self._new_providers], order, axis=0)
        congestion = (np.cumsum(share * best, axis=0) / (1 + np.cumsum(share, axis=0))).max(axis=0, initial=0.0)
        self._at = lift > congestion
        return self._at


def _places(old: Sequence[str], new: Sequence[str]) -> NDArray[np.intp]:
    """For each of `new` its position in `old`, or -1."""
    places = {name: place for place, name in enumerate(old)}
    return np.array([places.get(name, -1) for name in new], dtype=np.intp)
