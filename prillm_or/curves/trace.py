r"""trace: the pieces of the leader's loads as one of its decisions rises, such as a price.

On a fixed support everything is linear in the decision p at the leader's provider s: with K of `users/laplacian.py` and
rho_i the users' sensitivity to it,

    K (lambda', q') = sum_{i uses s} a_is rho_i (e_i - e_s),      t'_ij = lambda'_i - q'_j - rho_i [j = s].

So flows a_ij t_ij and loads x = alpha q are linear until some slack t_ij reaches zero: a used pair leaves the support,
or an unused one enters. There, moving the pair changes K by a rank-one term, and with v = K^-1 (e_i - e_j)

    (lambda', q') <- (lambda', q') - kappa t'_ij v,                   kappa from `SupportInverse.flip`,

the slope t'_ij keeps its sign, so that the pair moves on into its new state, and the next piece begins. Each support
owns one interval of prices (critical regions of a strictly convex parametric programme are convex), hence the trace
ends.

Where several pairs reach zero at one price, pairs of zero slack that would turn infeasible are moved one at a time, the
one of least index first: Murty's rule for linear complementarity problems with a positive definite matrix, which ends
after finitely many moves whatever the order of arrival (K. G. Murty, "Note on a Bard-type scheme for solving the
complementarity problem", Opsearch 11 (1974) 123-130).

In a large market only pairs are watched that may reach zero soon. With R and r the largest and smallest rho_i no slack
moves faster than 2 R - r (`docs/mathematics.md`, L6), so a pair with t_ij < -(2 R - r) h stays out of use while the
price rises by h, the watch; then a new one begins.

Cost of a piece with w pairs watched: w + min(n, m)^2, all n m in a small market. The start takes one equilibrium; one
piece in 64, and each new watch, a pass over all pairs and one factorisation.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from prillm_or.curves.parabola import vertex
from prillm_or.curves.small_trace import Lost, Stretch, stretches
from prillm_or.errors import ConvergenceError
from prillm_or.market.market import Array, Mask
from prillm_or.users.equilibrium import ROUNDING, Equilibrium, rest, solve_users
from prillm_or.users.laplacian import Laplacian, SupportInverse
from prillm_or.users.pairs import AllPairs, ListedPairs, Pairs, are_listed, below
from prillm_or.users.problem import UserProblem, ample_provider
from prillm_or.users.slopes import price_pull

if TYPE_CHECKING:
    from prillm_or.users._kernel import Small

_log = logging.getLogger(__name__)

_ZERO_SLACK = 1e-12
_ZERO_RATE = 1e-12
_REFRESH = 64
_MOST_TIED_FLIPS = 100_000
_CROWDED = (16, 1024)
_FIRST_WATCH = 1 / 16
_MOST_WATCHED = 8
_SHORTEST_WATCH = 1 / 1024

SAME = 1e-9
"""Prices this near, relatively, are one: a solver's price sits on a kink up to rounding."""


@dataclass(frozen=True, eq=False)
class Piece:
    """Prices `start` to `end` on which the leader's loads are load + slope (p - start).

    Parameters
    ----------
    start, end
        Currency per volume unit.
    load, slope
        Shape (k,): the volume that each decision is the price of, by the one that moves: loads, of plain prices.
    rest, rest_slope
        What the leader earns besides (decision - its cost) times load, and its slope: see `market/decisions.py`.
    moved
        The pairs (user, provider) that came into or went out of use at `start`, in their order; one that did both is
        there twice. None at the first piece of a trace.
    """

    start: float
    end: float
    load: Array
    slope: Array
    rest: float = 0.0
    rest_slope: float = 0.0
    moved: tuple[tuple[int, int], ...] = ()


def trace(
    users: UserProblem, prices: Array, decision: int, end: float, start: Equilibrium | None = None
) -> Iterator[Piece]:
    """Yield the pieces of the leader's loads as one of its decisions rises.

    Parameters
    ----------
    users
        From `user_problem`.
    prices
        Shape (k,): the leader's decisions; the one that moves starts here.
    decision
        Position of the one that moves.
    end
        The price to stop at.
    start
        An equilibrium of the same users from which that at `prices` is looked for.

    Raises
    ------
    ConvergenceError
        When a degenerate breakpoint does not resolve in double precision; `bisect` needs no breakpoints.
    """
    if users.kernel is not None and prices[decision] < end:
        yield from _of_small(users, users.kernel, np.asarray(prices, dtype=np.float64), decision, end, start)
    else:
        yield from _of_any(users, prices, decision, end, start)


def _of_small(
    users: UserProblem, kernel: Small, prices: Array, decision: int, end: float, start: Equilibrium | None
) -> Iterator[Piece]:
    """As `trace`, by the kernel as far as it goes."""
    if start is None or not np.array_equal(start.prices, prices):
        start = solve_users(users, prices, start)
    for stretch in stretches(kernel, prices, decision, end, np.ascontiguousarray(start.support)):
        if isinstance(stretch, Lost):
            moved: tuple[tuple[int, int], ...] = tuple((i, j) for _, i, j in stretch.moves.tolist())
            here = _on(users, stretch.prices, stretch.support)
            for piece in _of_any(users, stretch.prices, decision, end, here):
                yield replace(piece, moved=moved + piece.moved)
                moved = ()
        else:
            yield from _pieces(stretch)


def _on(users: UserProblem, prices: Array, support: Mask) -> Equilibrium:
    """The equilibrium at decisions that is known to be on a support."""
    laplacian, offsets = users.laplacian(support), users.offsets(prices)
    user, provider = laplacian.pairs.sums(laplacian.weight * laplacian.pairs.take(offsets))
    return Equilibrium(users, prices, *laplacian.solve(users.demand + user, -provider), laplacian)


def _pieces(stretch: Stretch) -> Iterator[Piece]:
    ends, rest, rest_slope = stretch.price.tolist(), stretch.rest.tolist(), stretch.rest_slope.tolist()
    moved: list[list[tuple[int, int]]] = [[] for _ in rest]
    for number, i, j in stretch.moves.tolist():
        moved[number].append((i, j))
    for number, pairs in enumerate(moved):
        yield Piece(
            ends[number],
            ends[number + 1],
            stretch.load[number],
            stretch.slope[number],
            rest[number],
            rest_slope[number],
            tuple(pairs),
        )


def _of_any(users: UserProblem, prices: Array, decision: int, end: float, start: Equilibrium | None) -> Iterator[Piece]:
    """As `trace`, by numpy."""
    state = _State(users, prices, decision, end, start)
    if state.price >= end:
        yield Piece(state.price, state.price, *state.loads())
        return
    begin, loads = state.price, state.loads()
    moved: list[tuple[int, int]] = []
    while True:
        pair = state.next_pair()
        reached = state.price + state.distance(pair)
        # Where nobody uses the provider, a dearer price changes nothing: the last piece reaches to the end. So it does
        # where it breaks at the end but for rounding.
        last = reached >= end * (1 - ROUNDING) or not state.using
        stop = end if last else reached
        if stop > state.horizon and state.using:
            state.watch_anew()  # beyond the horizon an unwatched pair may come first; the piece goes on
            continue
        if stop > begin:
            yield Piece(begin, stop, *loads, moved=tuple(moved))
            moved = []
        if last:
            return
        state.advance(reached)
        moved += state.flip_crowd(crowd) if (crowd := state.crowd()) else state.flip(pair)
        begin, loads = state.price, state.loads()


class _State:
    """The trace at one price: support, slacks and their slopes on the pairs that are watched.

    Between calls the following holds, but for rounding, which `_synchronise` removes:

    * `_prices` are the leader's, the moving one is `price`; `_level` and `_congestion` are the equilibrium's there,
      `_d_level` and `_d_congestion` their slopes as long as the support stays.
    * `_inverse` holds the support. `using` counts the users of the provider whose price moves.
    * `_pairs` are the pairs watched: all in use, and all that can come into use before the price `horizon`.
    * `room`, `rate` and `_sign` have an entry for each of them: the slack and its slope, both times the sign, which is
      1 in use and -1 out of use. So a support is right while every room is >= 0, and only pairs of rate < 0 limit the
      price.
    * `_zero` is the room that counts as none, `_watch` the length of the present watch, `_tied_flips` how many pairs
      were moved at this price.

    `advance` goes along the piece: `_prices`, `_level`, `_congestion` and `room` follow the slopes, which stay. `flip`
    stands still and changes the support: slopes, `rate` and `_sign` follow it, while levels and rooms stay, for the
    pair it moves has no room. `watch_anew` advances and chooses other pairs. Only `_synchronise` sets all of these,
    from `_prices` and the support alone; whatever else there is never changes.

    Where a provider's capacity is ample, slacks of its users are too small for their digits. Their rooms and rates are
    in flow over the sum of the other widths, that is their sign, and kept equal to what the users' other flows leave of
    their demands.
    """

    def __init__(self, users: UserProblem, prices: Array, decision: int, end: float, start: Equilibrium | None) -> None:
        self._users = users
        self._decision = decision
        self._column = users.decided[decision]
        self._sensitivity = np.ascontiguousarray(users.sensitivity[:, decision])
        self._prices = np.array(prices, dtype=np.float64)
        self._decided = np.array(users.decided)
        self._by_load = users.tariff is None and users.congested
        self._own_capacity = users.capacity[self._decided]
        self._ample = ample_provider(users)
        if self._ample is not None:
            width = np.broadcast_to(users.width, users.base.shape)
            self._others = np.delete(width, self._ample, axis=1).sum(axis=1)
            self._ample_scale = width[:, self._ample] / self._others
        self._tied_flips = 0
        # No slack is faster than twice the largest sensitivity: so small a part of it is rounding, no movement.
        self._still = _ZERO_RATE * float(self._sensitivity.max())
        self._speed = float(2 * self._sensitivity.max() - self._sensitivity.min())
        self._watch = _FIRST_WATCH * (end - self.price)
        self._shortest = _SHORTEST_WATCH * (end - self.price)
        if start is None or not np.array_equal(start.prices, self._prices):
            start = solve_users(users, self._prices, start)
        self._synchronise(start.laplacian, start)

    @property
    def price(self) -> float:
        return float(self._prices[self._decision])

    def watch_anew(self) -> None:
        """Raise the price to the horizon, and choose the pairs to watch from there on."""
        self.advance(self.horizon)
        self._watch *= 2  # each watch costs a pass over all pairs: a longer one is tried, and halved if too long
        self._synchronise(self._users.laplacian(self._inverse.support))

    def _synchronise(self, laplacian: Laplacian, found: Equilibrium | None = None) -> None:
        """Compute everything from the support: at first, for a new watch, and for the digits lost in many updates."""
        users, pairs, column = self._users, laplacian.pairs, self._column
        offsets = users.offsets(self._prices)
        if found is None:
            user, provider = pairs.sums(laplacian.weight * pairs.take(offsets))
            self._level, self._congestion = laplacian.solve(users.demand + user, -provider)
        else:
            self._level, self._congestion = found.level, found.congestion
        self._d_level, self._d_congestion = laplacian.solve(*price_pull(users, laplacian, [self._decision]))
        self._zero = _ZERO_SLACK * float(np.abs(self._level).max() + np.abs(self._congestion).max())
        support = laplacian.support
        self._pairs = self._watched(offsets, support)  # by the level and congestion just found
        self.using = laplacian.count(column)
        self._inverse = SupportInverse(laplacian, users.width, self._pairs, _REFRESH)
        slack = self._difference(self._level, self._congestion) - self._pairs.take(offsets)
        d_slack = self._difference(self._d_level, self._d_congestion)
        self._pairs.lower(d_slack, column, self._sensitivity)
        self._sign = np.where(self._pairs.take(support), 1.0, -1.0)
        self.room, self.rate = self._sign * slack, self._sign * d_slack
        if self._ample is not None:
            # The unit is in the sign, too, so that a rate over its sign is the slope of a slack for every pair.
            self._pairs.lower(self._sign, self._ample, support[:, self._ample] * (1.0 - self._ample_scale))
            self._close(self.room, users.demand)
            self._close(self.rate, 0.0)

    def _close(self, values: Array, volume: Array | float) -> None:
        """Give the ample provider's users, in place, the room or rate that their other flows leave of a volume."""
        assert self._ample is not None
        left = rest(self._pairs, self._inverse.weight * values, self._ample, volume) / self._others
        surplus = self._pairs.column(values, self._ample) - left
        self._pairs.lower(values, self._ample, np.where(self._inverse.support[:, self._ample], surplus, 0.0))

    def _watched(self, offsets: Array, support: Mask) -> Pairs:
        """The pairs that may enter or leave before the horizon, which is set such that they are not too many.

        It is never set so near that the trace would creep: where pairs stand at zero by the thousands, all are watched.
        """
        self.horizon = np.inf
        if not are_listed(support.shape):
            return AllPairs(support.shape)
        most = _MOST_WATCHED * np.count_nonzero(support)
        while True:
            reach = self._speed * self._watch + self._zero
            near = below(offsets, self._congestion, self._level + reach) | support
            if np.count_nonzero(near) <= most or self._watch <= self._shortest:
                break
            self._watch /= 2
        self.horizon = self.price + self._watch
        _log.info("price %.6g: %d pairs watched up to %.6g", self.price, np.count_nonzero(near), self.horizon)
        return ListedPairs(near)

    def _difference(self, a: Array, b: Array) -> Array:
        return self._pairs.of_users(a) - self._pairs.of_providers(b)

    def next_pair(self) -> int:
        """The pair, counted as in `room.flat`, that limits how far the price can rise on this support."""
        # Most often one pass decides: the least ratio has the pair whose room ends first. Of pairs without room it
        # would be the quickest, while Murty's rule asks for the first: these take a second look.
        pair = int((self.rate / np.maximum(self.room, self._zero)).argmin())
        if self.room.item(pair) > self._zero and self.rate.item(pair) < -self._still:
            return pair
        tied = (self.room <= self._zero) & (self.rate < -self._still)
        return int(tied.argmax()) if tied.any() else self._next_untied()

    def _next_untied(self) -> int:
        """As `next_pair`, among the pairs that really move."""
        urgency = np.where(self.rate < -self._still, self.rate / np.maximum(self.room, self._zero), 0.0)
        return int(urgency.argmin())

    def distance(self, pair: int) -> float:
        """How far the price can rise until the pair's slack is zero; infinite where it never is."""
        room, rate = self.room.item(pair), self.rate.item(pair)
        if rate >= -self._still:
            return np.inf
        return room / -rate if room > self._zero else 0.0

    def position(self, pair: int) -> tuple[int, int]:
        """User and provider of a pair."""
        return self._pairs.position(pair)

    def loads(self) -> tuple[Array, Array, float, float]:
        """The leader's loads and their slopes, shape (k,) each, and what it earns besides, and its slope."""
        rest = rest_slope = 0.0
        if self._by_load:
            load = self._own_capacity * self._congestion[self._decided]
            slope = self._own_capacity * self._d_congestion[self._decided]
        else:
            (load, rest), (slope, rest_slope) = map(self._earning, (self.room / self._sign, self.rate / self._sign))
        if not self.using:  # zero but for rounding, and nobody comes back to a dearer provider
            load[self._decided == self._column], slope[:], rest_slope = 0.0, 0.0, 0.0
        return load, slope, rest, rest_slope

    def _earning(self, slack: Array) -> tuple[Array, float]:
        """What decisions are the prices of, and what is earned besides, of flows of some slacks, or their slopes."""
        billed, tariff = self._users.billed(self._pairs, self._inverse.weight * slack), self._users.tariff
        if tariff is None:
            return billed[self._decided], 0.0
        return tariff.of_decisions(billed), tariff.beside(billed)

    def advance(self, price: float) -> None:
        """Raise the price, at most up to the next breakpoint."""
        length = price - self.price
        if length == 0:
            self._tied_flips += 1
            # Murty's rule always ends, but not where rounding turns a rate: a trace must not stand still for ever.
            if self._tied_flips > _MOST_TIED_FLIPS:
                raise ConvergenceError(f"{self._users.name}: degenerate breakpoint at price {self.price!r}")
            return
        self._tied_flips = 0
        self._prices[self._decision] = price
        self._level = self._level + length * self._d_level
        self._congestion = self._congestion + length * self._d_congestion
        self.room += length * self.rate

    def crowd(self) -> list[int]:
        """The pairs that want to move at this price, if many were moved there one by one and no end is in sight.

        Equal users all move at once, and a step for each of thousands would take long. Moving all who want to is not
        certain to end, so it is tried twice at one price; what it leaves wrong Murty's rule mends.
        """
        if self._tied_flips not in _CROWDED:
            return []
        return np.flatnonzero((self.room <= self._zero) & (self.rate < -self._still)).tolist()

    def flip_crowd(self, pairs: list[int]) -> list[tuple[int, int]]:
        """Move pairs without room in or out of the support, all at once, as far as all keep a provider; those moved."""
        support, places = self._inverse.support, list(map(self._pairs.position, pairs))
        for place in places:
            support[place] = not support[place]
        served = np.asarray(support.any(axis=1))
        for i, j in places:
            support[i, j] |= not served[i]
        self._synchronise(self._users.laplacian(support))
        return [(i, j) for i, j in places if served[i]]

    def flip(self, pair: int) -> list[tuple[int, int]]:
        """Move the pair, which has no room, in or out of the support; its user and provider."""
        support, (i, j), kappa = self._inverse.support, self._pairs.position(pair), None
        # Who leaves the ample provider leaves its unit of rooms and rates, too: all is computed anew.
        if not self._inverse.full and not (j == self._ample and support[i, j]):
            a, b = edge = self._inverse.edge(pair)
            kappa = self._inverse.flip(pair, edge)
        if kappa is None:
            support[i, j] = not support[i, j]
            self._synchronise(self._users.laplacian(support))
            return [(i, j)]
        if j == self._column:
            self.using += 1 if kappa > 0 else -1  # kappa is positive where the pair came into use
        step = kappa * self.rate.item(pair) / self._sign.item(pair)
        self._d_level = self._d_level - step * a
        self._d_congestion = self._d_congestion - step * b
        change = self._difference(step * a, step * b)
        change *= self._sign
        self.rate -= change
        # The slope of its slack has kept its sign (module docstring), so that the rate turns positive with the sign.
        self._sign.flat[pair] *= -1.0
        self.room.flat[pair] = 0.0
        self.rate.flat[pair] *= -1.0
        if self._ample is not None:
            if j == self._ample:
                # It came into use: one that leaves was seen to above.
                self._sign.flat[pair] = self._ample_scale[i]
            self._close(self.rate, 0.0)
        return [(i, j)]


def best_on_piece(piece: Piece, decision: int, margins: Array, unit_cost: float) -> tuple[float, float]:
    """Price and profit of the best point of a piece, the smallest price among equals.

    `margins`, shape (k,), holds value less cost of the leader's other decisions; entry `decision` is unused, and
    `unit_cost` is its cost.
    """
    own_load, own_slope = float(piece.load[decision]), float(piece.slope[decision])
    other_profit, other_slope = piece.rest, piece.rest_slope
    if len(margins) > 1:
        others = np.delete(margins, decision)
        other_profit += float(others @ np.delete(piece.load, decision))
        other_slope += float(others @ np.delete(piece.slope, decision))
    margin, length = piece.start - unit_cost, piece.end - piece.start

    def profit(h: float) -> float:
        # Where the last user leaves the load may be below zero by rounding, which would earn at a margin below zero.
        return (margin + h) * max(own_load + own_slope * h, 0.0) + other_profit + other_slope * h

    best = (0.0, profit(0.0))
    candidates = [length]
    if own_slope < 0:
        top = vertex(own_load + margin * own_slope + other_slope, own_slope)
        candidates = [min(max(top, 0.0), length), length]
    for h in candidates:
        if (earned := profit(h)) > best[1]:
            best = (h, earned)
    return piece.start + best[0], best[1]
