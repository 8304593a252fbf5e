"""Small markets of one decision in rational arithmetic: the equilibrium, and the best price by its pieces, exactly.

The data are taken for the floating-point numbers they are. Shares no code with the package: Newton's method from full
supports, from random ones where it comes round again, and at each breakpoint Murty's rule on the pairs at zero.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from prillm_or.market.market import Market

_ZERO = Fraction(0)
_MOST = 400

Matrix = list[list[Fraction]]
Support = list[list[bool]]
Point = tuple[list[Fraction], Matrix]
"""Congestion, and the slacks of all pairs."""


class Rational:
    """A market whose leader has one decision.

    Attributes
    ----------
    cap
        Of the decision.
    """

    def __init__(self, market: Market) -> None:
        self._users, self._providers = range(market.n), range(market.m)
        self._own = market.leader[0]
        self._demand, self._capacity = map(_fractions, (market.demand.tolist(), market.capacity.tolist()))
        paid, crowd, waited, people, taste, spread = (
            _fractions(values.tolist())
            for values in (
                *(market.price_weight, market.congestion_weight, market.delay_weight),
                *(market.count, market.dispersion, market.provider_dispersion),
            )
        )
        self._congested = all(crowd)
        scale = crowd if self._congested else [Fraction(1) for _ in crowd]
        values = np.broadcast_to(market.value, (market.n, market.m)).copy()
        if market.user_values.size:
            values = np.where(np.isnan(market.user_values), values, market.user_values)
        self._width = [
            [
                1
                / (
                    (1 / (self._capacity[j] * people[i]) if self._congested else _ZERO)
                    + taste[i] * spread[j] / (scale[i] * self._demand[i])
                )
                for j in self._providers
            ]
            for i in self._users
        ]
        prices, costs = _lists(market, market.price), _lists(market, market.unit_cost)
        mixes = [_fractions(row.tolist()) for row in market.mix] if market.components else [[Fraction(1)]] * market.n
        moves = [_ZERO for _ in mixes[0]]
        if market.decides == "factor":
            moves = prices[self._own]
            prices[self._own] = [_ZERO for _ in moves]
        else:
            component = market.decisions[0].component or 0
            moves[component], prices[self._own][component] = Fraction(1), _ZERO
        self._billed = [_product(mix, moves) for mix in mixes]
        self._margin = [_product(mix, prices[self._own]) - _product(mix, costs[self._own]) for mix in mixes]
        self._rise = [paid[i] * self._billed[i] / scale[i] for i in self._users]
        self._base = [
            [
                (
                    paid[i] * _product(mixes[i], prices[j])
                    + waited[i] * Fraction(float(market.delay[i, j]))
                    - Fraction(float(values[i, j]))
                )
                / scale[i]
                for j in self._providers
            ]
            for i in self._users
        ]
        self.cap = Fraction(float(market.price_cap[0]))

    def flows(self, price: float) -> list[list[float]]:
        """All flows at a price."""
        _, slacks = self._equilibrium(Fraction(price))[1]
        return [
            [float(self._width[i][j] * max(slack, _ZERO)) for j, slack in enumerate(of_user)]
            for i, of_user in enumerate(slacks)
        ]

    def profit(self, price: float) -> float:
        """The leader's profit at a price."""
        _, (_, slacks) = self._equilibrium(Fraction(price))
        billed, rest = self._earning([[max(slack, _ZERO) for slack in of_user] for of_user in slacks])
        return float(Fraction(price) * billed + rest)

    def best(self) -> tuple[float, float]:
        """The least of the best prices, and its profit."""
        best: tuple[Fraction, Fraction] | None = None
        for start, end, (load, rest), (slope, rest_slope) in self._pieces():
            prices = [start, end]
            if slope < 0:
                top = start - (load + start * slope + rest_slope) / (2 * slope)
                prices = [start, min(max(top, start), end), end]
            for price in prices:
                profit = price * (load + slope * (price - start)) + rest + rest_slope * (price - start)
                if best is None or profit > best[1]:
                    best = price, profit
        assert best is not None
        return float(best[0]), float(best[1])

    def _earning(self, slacks: Matrix) -> tuple[Fraction, Fraction]:
        """What the decision is the price of, and what is earned besides, of slacks of used pairs, or of their rates."""
        flows = [self._width[i][self._own] * slacks[i][self._own] for i in self._users]
        return _product(self._billed, flows), _product(self._margin, flows)

    def _pieces(self) -> Iterator[tuple[Fraction, Fraction, tuple[Fraction, Fraction], tuple[Fraction, Fraction]]]:
        """Start, end, and what `_earning` is at the start, and its slopes."""
        pairs = [(i, j) for i in self._users for j in self._providers]
        price = _ZERO
        _, (_, slacks) = self._equilibrium(price)
        while True:
            zero = [(i, j) for i, j in pairs if slacks[i][j] == 0]
            support = [[slack > 0 for slack in of_user] for of_user in slacks]
            while True:
                _, rates = self._rates(support)
                wrong = next(((i, j) for i, j in zero if rates[i][j] and support[i][j] == (rates[i][j] < 0)), None)
                if wrong is None:
                    break
                support[wrong[0]][wrong[1]] ^= True
            room = [
                slacks[i][j] / -rates[i][j]
                for i, j in pairs
                if (rates[i][j] < 0 if support[i][j] else rates[i][j] > 0) and slacks[i][j] != 0
            ]
            end = min([self.cap, *(price + length for length in room)])
            used, moving = (
                [[entry if support[i][j] else _ZERO for j, entry in enumerate(row)] for i, row in enumerate(of)]
                for of in (slacks, rates)
            )
            yield price, end, self._earning(used), self._earning(moving)
            if end >= self.cap:
                return
            price = end
            _, slacks = self._on(support, price)

    def _offset(self, i: int, j: int, price: Fraction) -> Fraction:
        return self._base[i][j] + (self._rise[i] * price if j == self._own else _ZERO)

    def _equilibrium(self, price: Fraction) -> tuple[Support, Point]:
        support = [[True] * len(self._providers) for _ in self._users]
        seen, draw = set(), random.Random(1)
        for _ in range(_MOST):
            if (key := str(support)) in seen:
                support = [[draw.random() < 0.6 for _ in self._providers] for _ in self._users]
                for of_user in support:
                    of_user[draw.randrange(len(of_user))] = True
            seen.add(key)
            point = self._on(support, price)
            after = [[slack > 0 for slack in of_user] for of_user in point[1]]
            same = all(
                support[i][j] == after[i][j] or point[1][i][j] == 0 for i in self._users for j in self._providers
            )
            if same:
                return after, point
            support = after
        raise ArithmeticError("no exact equilibrium")

    def _on(self, support: Support, price: Fraction) -> Point:
        """What holds if a support is right at a price."""
        paid = [[self._offset(i, j, price) for j in self._providers] for i in self._users]
        pull = [
            [self._width[i][j] * paid[i][j] if support[i][j] else _ZERO for j in self._providers] for i in self._users
        ]
        asked = [self._demand[i] + sum(pull[i], _ZERO) for i in self._users]
        level, congestion = self._solve(support, asked, [-sum(column, _ZERO) for column in zip(*pull, strict=True)])
        return congestion, [[level[i] - paid[i][j] - congestion[j] for j in self._providers] for i in self._users]

    def _rates(self, support: Support) -> Point:
        """How that answers the price."""
        pull = [self._width[i][self._own] * self._rise[i] if support[i][self._own] else _ZERO for i in self._users]
        provider = [-sum(pull, _ZERO) if j == self._own else _ZERO for j in self._providers]
        level, congestion = self._solve(support, pull, provider)
        rise = [[self._rise[i] if j == self._own else _ZERO for j in self._providers] for i in self._users]
        return congestion, [[level[i] - congestion[j] - rise[i][j] for j in self._providers] for i in self._users]

    def _solve(
        self, support: Support, user: list[Fraction], provider: list[Fraction]
    ) -> tuple[list[Fraction], list[Fraction]]:
        """Levels and congestion of the linear system on a support: users are eliminated, then Gauss."""
        used = [[j for j in self._providers if support[i][j]] for i in self._users]
        total = [sum((self._width[i][j] for j in used[i]), _ZERO) for i in self._users]
        if not self._congested:
            return [user[i] / total[i] for i in self._users], [_ZERO for _ in self._providers]
        rows = [
            [self._capacity[j] if j == k else _ZERO for k in self._providers] + [provider[j]] for j in self._providers
        ]
        for i in self._users:
            for j in used[i]:
                rows[j][j] += self._width[i][j]
                rows[j][-1] += self._width[i][j] * user[i] / total[i]
                for k in used[i]:
                    rows[j][k] -= self._width[i][j] * self._width[i][k] / total[i]
        for j in self._providers:  # positive definite: no pivoting
            rows[j] = [entry / rows[j][j] for entry in rows[j]]
            for k in self._providers:
                if k != j and (factor := rows[k][j]):
                    rows[k] = [entry - factor * other for entry, other in zip(rows[k], rows[j], strict=True)]
        congestion = [row[-1] for row in rows]
        level = [(user[i] + sum(self._width[i][j] * congestion[j] for j in used[i])) / total[i] for i in self._users]
        return level, congestion


def _lists(market: Market, table: NDArray[np.float64]) -> Matrix:
    """A table of prices or costs, as lists of one component where the market has none; 0 for what is absent."""
    rows = table if market.components else table[:, None]
    return [[_ZERO if np.isnan(value) else Fraction(value) for value in row] for row in rows.tolist()]


def _product(some: list[Fraction], others: list[Fraction]) -> Fraction:
    return sum((a * b for a, b in zip(some, others, strict=True)), _ZERO)


def _fractions(values: list[float]) -> list[Fraction]:
    return [Fraction(value) for value in values]
