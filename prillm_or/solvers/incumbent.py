"""The best prices seen so far, judged at the users' equilibrium, and their improvement on their own support."""

from __future__ import annotations

import numpy as np

from prillm_or.market.decisions import decision_costs
from prillm_or.market.market import Array, Market
from prillm_or.users.certificate import profit_of
from prillm_or.users.equilibrium import Equilibrium, solve_users
from prillm_or.users.problem import UserProblem, user_problem
from prillm_or.users.slopes import earning_slopes

_MOST_POLISHES = 30
_BETTER = 1e-12
_STEPS_BACK = (1e-9, 1e-8, 1e-7, 1e-6, 1e-5)


class Incumbent:
    """Keeps the best prices offered; every profit is that of an equilibrium, never of a model.

    Parameters
    ----------
    market
        The market to judge prices in.
    users
        Its users by `user_problem`, where that was done already.
    """

    def __init__(self, market: Market, users: UserProblem | None = None) -> None:
        self.market = market
        self.users = users or user_problem(market)
        self.profit = -np.inf
        self.equilibrium: Equilibrium | None = None
        self._top: Equilibrium | None = None

    @property
    def prices(self) -> Array | None:
        """Best decisions so far, shape (k,), or None."""
        return None if self.equilibrium is None else self.equilibrium.prices

    def offer(self, prices: Array, start: Equilibrium | None = None) -> Equilibrium:
        """Solve the equilibrium at `prices`, shape (k,), clipped to the caps, and keep it if it is better.

        It is looked for from `start`, or from the best equilibrium so far.
        """
        found = solve_users(self.users, np.clip(prices, 0.0, self.market.price_cap), start or self.equilibrium)
        profit = profit_of(self.market, found.prices, found.billed)
        if profit > self.profit + _BETTER * abs(self.profit) or self.equilibrium is None:
            self.keep(found)
        return found

    def keep(self, found: Equilibrium) -> None:
        """Take the prices of an equilibrium for the best."""
        self.profit, self.equilibrium = profit_of(self.market, found.prices, found.billed), found

    def polish(self) -> None:
        """Climb from the best prices: on a support profit is quadratic, its top, if it has one, a linear solve away.

        That point is tried first, then points half as far, until nothing improves; so the result is never worse.
        Prices that a bound holds back stand still. It is a step of `ascent.py` that costs a few equilibria and no
        trace: cheap enough for models that are seeded at many prices.
        """
        cap = self.market.price_cap
        for _ in range(_MOST_POLISHES):
            assert self.equilibrium is not None, "offer prices before polishing them"
            if self.equilibrium is self._top:
                return  # nothing better came since
            start, profit = self.equilibrium, self.profit
            gradient, slopes = self.derivatives(start)
            step = newton_step(gradient, slopes + slopes.T, start.prices, cap)
            for length in (1.0, 0.5, 0.25):
                self.offer(start.prices + length * step)
                if self.profit > profit:
                    break
            if self.profit <= profit + _BETTER * abs(profit):
                self._top = self.equilibrium
                return

    def gradient(self, found: Equilibrium) -> Array:
        """Derivatives of the profit by the decisions on an equilibrium's support, shape (k,)."""
        return self.derivatives(found)[0]

    def derivatives(self, found: Equilibrium) -> tuple[Array, Array]:
        """Those of the profit, shape (k,), and of the volumes as of `load_slopes`, (k, k), on that support."""
        slopes, beside = earning_slopes(self.users, found.laplacian)
        margin = found.prices - decision_costs(self.market)
        return found.by_decision + slopes.T @ margin + beside, slopes

    def offer_near(self, prices: Array) -> None:
        """Offer decisions that a solver found, and some a little lower; of price lists, some a little higher, too.

        Where a huge capacity or count makes the load fall from all to nothing within a solver's tolerance, the prices
        themselves may lie just beyond the edge; and just before it, where those who leave there are served at a loss.
        """
        cap = self.market.price_cap
        for step in (0.0, *_STEPS_BACK):
            self.offer(prices - step * cap)
            if step and not self.market.plain:
                self.offer(prices + step * cap)


def newton_step(gradient: Array, curvature: Array, at: Array, cap: Array) -> Array:
    """To where a quadratic is level, of the decisions, shape (k,), that neither 0 nor a cap holds back."""
    free = ~((at <= 0) & (gradient < 0) | (at >= cap) & (gradient > 0))
    step = np.zeros(len(at))
    step[free] = -np.linalg.lstsq(curvature[np.ix_(free, free)], gradient[free], rcond=None)[0]
    return step
