"""Small markets of one price in rational arithmetic: the equilibrium, and the best price by its pieces, exactly.

The data are taken for the floating-point numbers they are. Shares no code with the package: Newton's method from full
supports, from random ones where it comes round again, and at each breakpoint Murty's rule on the pairs at zero.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from fractions import Fraction

from prillm_or.market.market import Market

_ZERO = Fraction(0)
_MOST = 400

Matrix = list[list[Fraction]]
Support = list[list[bool]]
Point = tuple[list[Fraction], Matrix]
"""Congestion, and the slacks of all pairs."""


class Rational:
    """A market whose leader has one price.

    Attributes
    ----------
    cap, unit_cost
        Of the leader.
    """

    def __init__(self, market: Market) -> None:
        self._users, self._providers = range(market.n), range(market.m)
        self._own = market.leader[0]
        self._demand, self._capacity = map(_fractions, (market.demand.tolist(), market.capacity.tolist()))
        price, value = _fractions(market.price.tolist()), _fractions(market.value.tolist())
        paid, crowd, waited = (
            _fractions(weight.tolist())
            for weight in (market.price_weight, market.congestion_weight, market.delay_weight)
        )
        price[self._own] = _ZERO
        self._rise = [paid[i] / crowd[i] for i in self._users]
        self._base = [
            [
                (paid[i] * price[j] + waited[i] * Fraction(float(market.delay[i, j])) - value[j]) / crowd[i]
                for j in self._providers
            ]
            for i in self._users
        ]
        self.unit_cost = Fraction(float(market.unit_cost[self._own]))
        self.cap = Fraction(float(market.price_cap[0]))

    def flows(self, price: float) -> list[list[float]]:
        """All flows at a price."""
        _, slacks = self._equilibrium(Fraction(price))[1]
        return [[float(self._capacity[j] * max(slack, _ZERO)) for j, slack in enumerate(of_user)] for of_user in slacks]

    def profit(self, price: float) -> float:
        """The leader's profit at a price."""
        congestion, _ = self._equilibrium(Fraction(price))[1]
        return float((Fraction(price) - self.unit_cost) * self._capacity[self._own] * congestion[self._own])

    def best(self) -> tuple[float, float]:
        """The least of the best prices, and its profit."""
        best: tuple[Fraction, Fraction] | None = None
        for start, end, load, slope in self._pieces():
            prices = [start, end]
            if slope < 0:
                top = start - (load + (start - self.unit_cost) * slope) / (2 * slope)
                prices = [start, min(max(top, start), end), end]
            for price in prices:
                profit = (price - self.unit_cost) * (load + slope * (price - start))
                if best is None or profit > best[1]:
                    best = price, profit
        assert best is not None
        return float(best[0]), float(best[1])

    def _pieces(self) -> Iterator[tuple[Fraction, Fraction, Fraction, Fraction]]:
        """Start, end, and the leader's load and slope at the start."""
        pairs = [(i, j) for i in self._users for j in self._providers]
        price = _ZERO
        _, (congestion, slacks) = self._equilibrium(price)
        while True:
            zero = [(i, j) for i, j in pairs if slacks[i][j] == 0]
            support = [[slack > 0 for slack in of_user] for of_user in slacks]
            while True:
                crowds, rates = self._rates(support)
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
            capacity = self._capacity[self._own]
            yield price, end, capacity * congestion[self._own], capacity * crowds[self._own]
            if end >= self.cap:
                return
            price = end
            congestion, slacks = self._on(support, price)

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
            [self._capacity[j] * paid[i][j] if support[i][j] else _ZERO for j in self._providers] for i in self._users
        ]
        asked = [self._demand[i] + sum(pull[i], _ZERO) for i in self._users]
        level, congestion = self._solve(support, asked, [-sum(column, _ZERO) for column in zip(*pull, strict=True)])
        return congestion, [[level[i] - paid[i][j] - congestion[j] for j in self._providers] for i in self._users]

    def _rates(self, support: Support) -> Point:
        """How that answers the price."""
        pull = [self._capacity[self._own] * self._rise[i] if support[i][self._own] else _ZERO for i in self._users]
        provider = [-sum(pull, _ZERO) if j == self._own else _ZERO for j in self._providers]
        level, congestion = self._solve(support, pull, provider)
        rise = [[self._rise[i] if j == self._own else _ZERO for j in self._providers] for i in self._users]
        return congestion, [[level[i] - congestion[j] - rise[i][j] for j in self._providers] for i in self._users]

    def _solve(
        self, support: Support, user: list[Fraction], provider: list[Fraction]
    ) -> tuple[list[Fraction], list[Fraction]]:
        """Levels and congestion of the linear system on a support: users are eliminated, then Gauss."""
        used = [[j for j in self._providers if support[i][j]] for i in self._users]
        total = [sum((self._capacity[j] for j in used[i]), _ZERO) for i in self._users]
        rows = [
            [self._capacity[j] if j == k else _ZERO for k in self._providers] + [provider[j]] for j in self._providers
        ]
        for i in self._users:
            for j in used[i]:
                rows[j][j] += self._capacity[j]
                rows[j][-1] += self._capacity[j] * user[i] / total[i]
                for k in used[i]:
                    rows[j][k] -= self._capacity[j] * self._capacity[k] / total[i]
        for j in self._providers:  # positive definite: no pivoting
            rows[j] = [entry / rows[j][j] for entry in rows[j]]
            for k in self._providers:
                if k != j and (factor := rows[k][j]):
                    rows[k] = [entry - factor * other for entry, other in zip(rows[k], rows[j], strict=True)]
        congestion = [row[-1] for row in rows]
        level = [(user[i] + sum(self._capacity[j] * congestion[j] for j in used[i])) / total[i] for i in self._users]
        return level, congestion


def _fractions(values: list[float]) -> list[Fraction]:
    return [Fraction(value) for value in values]
