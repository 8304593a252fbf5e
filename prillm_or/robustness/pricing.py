"""robust: the prices with the best mean and the best worst case over draws of a market."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence

import numpy as np

from prillm_or.curves.profit_curve import ProfitCurve, curve
from prillm_or.errors import CombinationError, ConvergenceError, checked_list
from prillm_or.files.markets import AnyMarket, as_market, opened
from prillm_or.market.decisions import in_words
from prillm_or.market.market import Array, Market
from prillm_or.result import Certificate
from prillm_or.robustness.best import best_mean, best_worst, is_better
from prillm_or.robustness.parabolas import breakpoints, profits
from prillm_or.robustness.prices import RobustPrice, RobustPrices
from prillm_or.solving.run import solve
from prillm_or.users.certificate import certified, profit_of
from prillm_or.users.equilibrium import Equilibrium, solve_users
from prillm_or.users.problem import user_problem
from prillm_or.users.reach import turnover

_log = logging.getLogger(__name__)

_AGREED = 1e-9
_ROUNDING = 1e-12


def robust(market: AnyMarket, draws: Sequence[AnyMarket]) -> RobustPrices:
    """Find the prices with the best mean and the best worst case, and what they cost if `market` is right.

    Exact: every curve is traced from price 0 to the cap. Where the price of the best mean has the best worst case too,
    it is the answer to both.

    Cost: N traces; with P pieces in all, N P to look at each interval of the union.

    Parameters
    ----------
    market
        The central market, whose leader decides one price or factor: itself, with its file, a path, or a name.
    draws
        Markets with the same leader, cap and units, of which each may be the right one. They may differ from `market`
        in all else, such as values and weights.

    Raises
    ------
    ArgumentError
        When `draws` is no list of markets.
    CombinationError
        When the leader decides several, there is no draw, or one is of another leader, cap or unit.
    ConvergenceError
        When a profit cannot be certified.
    KeyboardInterrupt
        When it comes before the end: there are no robust prices of some of the draws.
    """
    central, file = opened(market)
    markets = [as_market(draw, f"draws[{k}]") for k, draw in enumerate(checked_list("draws", draws, "markets"))]
    return _priced(central, markets, None if file is None else file.sha256)


def _priced(market: Market, draws: Sequence[Market], sha256: str | None) -> RobustPrices:
    began = time.perf_counter()
    _check(market, draws)
    cap = float(market.price_cap[0])
    central = solve(market)
    if central.interrupted:
        raise KeyboardInterrupt
    curves = []
    for number, draw in enumerate(draws, start=1):
        curves.append(curve(draw))
        _log.info("draw %d of %d: %d pieces", number, len(draws), len(curves[-1].pieces))
    mean_price, _ = best_mean(curves, cap)
    worst_price, worst = best_worst(curves, cap)
    if not is_better(worst, float(profits(curves, np.array([mean_price])).min())):
        worst_price = mean_price
    prices = np.array([central.price, mean_price, worst_price])
    earned, certificate = _certified([market, *draws], prices)
    _check_agreement(draws, curves, prices, earned[1:])
    of_central, of_mean, of_worst = (
        _price(price, earned[0, k], earned[1:, k], central.profit) for k, price in enumerate(prices.tolist())
    )
    return RobustPrices(
        instance=market.name,
        instance_sha256=sha256,
        provider=market.leader_ids[0],
        decision=market.decisions[0].name,
        draws=len(draws),
        central=of_central,
        best_mean=of_mean,
        best_worst=of_worst,
        pieces=len(breakpoints(curves, cap)) - 1,
        certificate=certificate,
        time_s=time.perf_counter() - began,
    )


def _check(market: Market, draws: Sequence[Market]) -> None:
    if (several := len(market.decisions)) > 1:
        raise CombinationError(f"{market.name}: the leader sets {several} prices, robust prices are of one")
    if not draws:
        raise CombinationError(f"{market.name}: no draws; give at least one market that may be the right one")
    for number, draw in enumerate(draws, start=1):
        for what, has, wanted in (
            ("leader", ", ".join(draw.leader_ids), market.leader_ids[0]),
            ("list of components", _listed(draw.components), _listed(market.components)),
            ("decision", _decisions(draw), _decisions(market)),
            ("price cap", draw.price_cap.tolist(), market.price_cap.tolist()),
            ("units", draw.units, market.units),
        ):
            if has != wanted:
                raise CombinationError(
                    f"{market.name}: draw {number} ({draw.name}) has another {what}: expected {wanted}, got {has}"
                )


def _decisions(market: Market) -> str:
    return _listed([in_words(market, decision) for decision in market.decisions])


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) or "none"


def _certified(markets: Sequence[Market], prices: Array) -> tuple[Array, Certificate]:
    """Profits of each price in each market, shape (markets, prices), and the largest figures of their certificates."""
    earned, worst = np.zeros((len(markets), len(prices))), Certificate(0.0, 0.0)
    for place, market in enumerate(markets):
        users = user_problem(market)
        found: Equilibrium | None = None
        for k, price in enumerate(prices.tolist()):
            found = solve_users(users, [price], found)
            earned[place, k] = profit_of(market, [price], found.billed)
            seen = certified(market, [price], found.flow)
            worst = Certificate(max(worst.kkt_residual, seen.kkt_residual), max(worst.max_regret, seen.max_regret))
    return earned, worst


def _check_agreement(draws: Sequence[Market], curves: Sequence[ProfitCurve], prices: Array, earned: Array) -> None:
    """What the pieces say must be what the equilibria earn, but for rounding."""
    apart = np.abs(profits(curves, prices) - earned)
    for number, k in np.argwhere(apart > _AGREED * np.abs(earned)).tolist():
        if apart[number, k] <= _ROUNDING * turnover(draws[number]):
            continue
        raise ConvergenceError(
            f"draw {number + 1} ({draws[number].name}): the pieces and the equilibrium at price {prices[k]!r} differ "
            "in profit"
        )


def _price(price: float, central: float, drawn: Array, best: float) -> RobustPrice:
    return RobustPrice(
        price=price,
        mean_profit=float(drawn.mean()),
        worst_profit=float(drawn.min()),
        worst_draw=int(drawn.argmin()) + 1,
        central_profit=float(central),
        central_share=float(central) / best if best > 0 else None,
    )
