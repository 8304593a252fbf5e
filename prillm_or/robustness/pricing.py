"""robust: the prices with the best mean, the best worst case and the least regret over draws of a market."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from prillm_or.curves.profit_curve import curve
from prillm_or.errors import CombinationError, ConvergenceError, checked_list
from prillm_or.files.markets import AnyMarket, as_market, opened
from prillm_or.limits import Limits
from prillm_or.market.decisions import in_words
from prillm_or.market.market import Array, Market
from prillm_or.result import Certificate
from prillm_or.robustness.best import best_mean, best_worst, is_better, survey
from prillm_or.robustness.parabolas import breakpoints, profits
from prillm_or.robustness.prices import RobustPrice, RobustPrices
from prillm_or.solvers.protocols import Ended
from prillm_or.solving.recheck import decided_in
from prillm_or.solving.run import solve
from prillm_or.users.certificate import certified, profit_of
from prillm_or.users.equilibrium import Equilibrium, solve_users
from prillm_or.users.problem import user_problem
from prillm_or.users.reach import turnover

_log = logging.getLogger(__name__)

_AGREED = 1e-9
_ROUNDING = 1e-12
_MOST_STARTS = 16
_CLIMBS = 2


def robust(market: AnyMarket, draws: Sequence[AnyMarket]) -> RobustPrices:
    """Find prices of the best mean, the best worst case and the least regret, and what they cost if `market` is right.

    The regret of prices in a draw is how far they fall short of its best profit. One decision: exact, as every curve is
    traced from price 0 to the cap. Several: each draw's best profit is proven by `branch`, so that no mean exceeds the
    mean of these bounds, no worst case the least of them, and no regret the one told. The prices are the best that
    climbs found (`climb.py`), from the best of the market, of some draws, and their mean, and not proven best.

    Where the prices of the best mean are as good in another respect, they are the answer to that, too.

    Cost: N traces; with P pieces in all, N P to look at each interval of the union. Of k decisions N proofs by
    `branch`, and some k N traces for each round of a climb.

    Parameters
    ----------
    market
        The central market: itself, with its file, a path, or a name.
    draws
        Markets with the same leader, caps and units, of which each may be the right one. They may differ from `market`
        in all else, such as values and weights.

    Raises
    ------
    ArgumentError
        When `draws` is no list of markets.
    CombinationError
        When there is no draw, or one is of another leader, cap or unit.
    ConvergenceError
        When a profit cannot be certified, or a draw's best one not be proven.
    KeyboardInterrupt
        When it comes before the end: there are no robust prices of some of the draws.
    """
    central, file = opened(market)
    markets = [as_market(draw, f"draws[{k}]") for k, draw in enumerate(checked_list("draws", draws, "markets"))]
    return _priced(central, markets, None if file is None else file.sha256)


@dataclass(frozen=True, eq=False)
class _Found:
    """What was found over N draws.

    Parameters
    ----------
    decisions
        Shape (3, k): of the best mean, the best worst case and the least regret.
    best, most
        Shapes (N, k) and (N,): the best decisions of each draw, and what it earns at most.
    bounds
        On any mean and any worst case, where they are not what is attained.
    pieces
        As of `RobustPrices`.
    profits
        Shape (N, 3): what the curves say that each draw earns at `decisions`, where there are curves.
    """

    decisions: Array
    best: Array
    most: Array
    bounds: tuple[float, float] | None
    pieces: int | None
    profits: Array | None


def _priced(market: Market, draws: Sequence[Market], sha256: str | None) -> RobustPrices:
    began = time.perf_counter()
    _check(market, draws)
    central = solve(market)
    if central.interrupted:
        raise KeyboardInterrupt
    here = decided_in(market, central)
    found = _of_one(draws) if len(here) == 1 else _of_several(draws, here)
    known = not np.isnan(market.current).any()
    decisions = np.vstack([here, found.decisions, *([market.current] if known else [])])
    earned, certificate = _certified([market, *draws], decisions)
    if found.profits is not None:
        _check_agreement(draws, found, earned[1:, 1:4])
    names = [decision.name for decision in market.decisions]
    of_central, of_mean, of_worst, of_regret, *of_today = (
        _price(dict(zip(names, values, strict=True)), earned[0, k], earned[1:, k], found.most, central.profit)
        for k, values in enumerate(decisions.tolist())
    )
    low, high = found.best.min(axis=0).tolist(), found.best.max(axis=0).tolist()
    mean_bound, worst_bound = found.bounds or (of_mean.mean_profit, of_worst.worst_profit)
    return RobustPrices(
        instance=market.name,
        instance_sha256=sha256,
        providers=market.leader_ids,
        decisions=tuple(names),
        draws=len(draws),
        central=of_central,
        best_mean=of_mean,
        best_worst=of_worst,
        least_regret=of_regret,
        today=of_today[0] if known else None,
        best_range=dict(zip(names, zip(low, high, strict=True), strict=True)),
        in_words=tuple(in_words(market, decision) for decision in market.decisions),
        units=market.units,
        mean_bound=max(mean_bound, of_mean.mean_profit),
        worst_bound=max(worst_bound, of_worst.worst_profit),
        pieces=found.pieces,
        certificate=certificate,
        time_s=time.perf_counter() - began,
    )


def _of_one(draws: Sequence[Market]) -> _Found:
    """By the curves of all draws, exactly."""
    curves = []
    for number, draw in enumerate(draws, start=1):
        curves.append(curve(draw))
        _log.info("draw %d of %d: %d pieces", number, len(draws), len(curves[-1].pieces))
    cap, best = float(draws[0].price_cap[0]), np.array([[one.best.price] for one in curves])
    most = np.array([one.best.profit for one in curves])
    seen = survey(curves, cap)
    mean_price, _ = best_mean(curves, seen)
    prices, at_mean = [mean_price], profits(curves, np.array([mean_price]))[:, 0]
    for less in (np.zeros(len(draws)), most - most.max()):  # a regret is the largest of the best profits less the rest
        price, least = best_worst(curves, seen, less)
        prices.append(price if is_better(least, float((at_mean - less).min())) else mean_price)
    decisions = np.array(prices)
    pieces = len(breakpoints(curves, cap)) - 1
    return _Found(decisions[:, None], best, most, None, pieces, profits(curves, decisions))


def _of_several(draws: Sequence[Market], near: Array) -> _Found:
    """By the proven best of each draw, and climbs."""
    from prillm_or.robustness.climb import Climb
    from prillm_or.solvers.branch import Branch

    best, most = [], np.empty(len(draws))
    for number, draw in enumerate(draws):
        proposal = Branch(near).solve(draw, Limits())
        if proposal.ended is Ended.INTERRUPTED:
            raise KeyboardInterrupt
        if proposal.prices is None or proposal.upper_bound is None:
            raise ConvergenceError(f"draw {number + 1} ({draw.name}): no bound on its best profit was proven")
        best.append(proposal.prices)
        most[number] = proposal.upper_bound
        _log.info("draw %d of %d: %s", number + 1, len(draws), proposal.notes[0])
    starts = [near, np.mean(best, axis=0), *best[:: 1 + len(best) // _MOST_STARTS]]
    tops: list[Array] = []
    for less in (None, np.zeros(len(draws)), most - most.max()):
        climb = Climb(draws, less)
        begin = sorted([*tops, *starts], key=climb.height)[-_CLIMBS:]
        top = max((climb.top(decisions) for decisions in begin), key=climb.height)
        tops.append(top if not tops or is_better(climb.height(top), climb.height(tops[0])) else tops[0])
        _log.info("climbed to %s", tops[-1])
    return _Found(np.array(tops), np.array(best), most, (float(most.mean()), float(most.min())), None, None)


def _check(market: Market, draws: Sequence[Market]) -> None:
    if not draws:
        raise CombinationError(f"{market.name}: no draws; give at least one market that may be the right one")
    for number, draw in enumerate(draws, start=1):
        for what, has, wanted in (
            ("leader", ", ".join(draw.leader_ids), ", ".join(market.leader_ids)),
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


def _certified(markets: Sequence[Market], decisions: Array) -> tuple[Array, Certificate]:
    """Profits in each market at each row of decisions, shape (markets, rows), and the largest of the certificates."""
    earned, worst = np.zeros((len(markets), len(decisions))), Certificate(0.0, 0.0)
    for place, market in enumerate(markets):
        users = user_problem(market)
        found: list[Equilibrium] = []
        for k, values in enumerate(decisions):
            found.append(solve_users(users, values, found[-1] if found else None))
            earned[place, k] = profit_of(market, values, found[-1].billed)
        seen = certified(market, decisions, np.array([each.flow for each in found]))
        worst = Certificate(max(worst.kkt_residual, seen.kkt_residual), max(worst.max_regret, seen.max_regret))
    return earned, worst


def _check_agreement(draws: Sequence[Market], found: _Found, earned: Array) -> None:
    """What the pieces say must be what the equilibria earn, but for rounding."""
    assert found.profits is not None
    apart = np.abs(found.profits - earned)
    for number, k in np.argwhere(apart > _AGREED * np.abs(earned)).tolist():
        if apart[number, k] <= _ROUNDING * turnover(draws[number]):
            continue
        raise ConvergenceError(
            f"draw {number + 1} ({draws[number].name}): the pieces and the equilibrium at price "
            f"{float(found.decisions[k, 0])!r} differ in profit"
        )


def _price(decisions: Mapping[str, float], central: float, drawn: Array, most: Array, best: float) -> RobustPrice:
    regret, earns = np.maximum(most - drawn, 0.0), most > 0
    return RobustPrice(
        decisions=decisions,
        mean_profit=float(drawn.mean()),
        worst_profit=float(drawn.min()),
        worst_draw=int(drawn.argmin()) + 1,
        worst_regret=float(regret.max()),
        worst_regret_share=float((regret[earns] / most[earns]).max()) if earns.any() else None,
        central_profit=float(central),
        central_share=float(central) / best if best > 0 else None,
    )
