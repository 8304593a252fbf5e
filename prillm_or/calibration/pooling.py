r"""Pooling: one response to price for many markets, from the prices that moved in each.

**Each market.** Over days t, users i and providers j offered,

    log(f_tij / D_ti) = beta log p_tij + a_ij + c_ti + noise,

shares of no less than 1e-4: a_ij takes what a provider is to a user all along, c_ti the day, so that beta rests on
prices that move while others do not. A price counts as it was until it is 5 % off that: less is no price event, but
most often the mix of what was bought. With x the log prices less both effects, and y the log shares, the estimate is
(x . y) / (x . x).

**Its error.** SE^2 = s^2 d / (x . x): a market knows as much as its own prices moved. Noise of a pair lasts over days,
and a market has few pairs, so all markets share the factor d >= 1 by which sums over a pair's days vary more than if
days were independent. Their variances s^2 of the noise are their own, that of all counting as 10 observations of each.

**All markets** (empirical Bayes). The responses of markets are spread about a common one, N(mu, tau^2), and what is
estimated of each about its own, N(beta, SE^2). mu is the mean weighted by 1 / (tau^2 + SE^2), and tau^2 >= 0 makes the
squares of the estimates' distances from it, so weighted, sum to the number of markets less 1 (Paule and Mandel). A
market's response is the mean of its own estimate and of the mu of the others by their precisions, 1 / SE^2 and
1 / (tau^2 + 1 / sum of weights); that of one whose prices never moved is the others' mu.

**An elasticity.** beta is what shares do beside the others'. Demand is given, so with shares that move in proportion,
as in a logit, the load of j answers by beta (1 - s_j): that is the own-price elasticity at which `anchor.py` anchors.

Reference: Paule, Mandel, "Consensus values and weighting factors", Journal of Research of the National Bureau of
Standards 87 (1982) 377-385, doi 10.6028/jres.087.022.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq

from prillm_or.calibration.days import Days
from prillm_or.calibration.observations import Observations
from prillm_or.calibration.price_events import EVENT, LEAST_SHARE
from prillm_or.market.market import Array, Mask

_SHARED = 10
_TURNS, _SETTLED, _STILL, _LEAST = 1_000, 1e-12, 1e-9, 1e-12


@dataclass(frozen=True)
class Response:
    """How log shares answer a log price beside the others', beta of the module docstring, and its standard error."""

    estimate: float
    error: float


@dataclass(frozen=True)
class Common:
    """The response of markets in general.

    Parameters
    ----------
    response
        mu and its standard error.
    spread
        tau.
    markets
        In how many of them prices moved.
    """

    response: Response
    spread: float
    markets: int


@dataclass(frozen=True, eq=False)
class _Moved:
    """Log prices and log shares less the effects of pairs and of users' days, the pair of each, and what is free."""

    price: Array
    share: Array
    pair: NDArray[np.intp]
    free: int

    @property
    def information(self) -> float:
        return float(self.price @ self.price)

    @property
    def estimate(self) -> float:
        return float(self.price @ self.share) / self.information

    @property
    def left(self) -> Array:
        """What the estimate leaves of the log shares."""
        return np.asarray(self.share - self.estimate * self.price)

    def variance(self, noise: _Noise) -> float:
        """SE^2 of the estimate."""
        own = (_SHARED * noise.variance + float(self.left @ self.left)) / (_SHARED + self.free)
        return noise.lasting * own / self.information


@dataclass(frozen=True)
class _Noise:
    """What markets share of their noise: s^2 of all together, and d."""

    variance: float
    lasting: float


def common_response(markets: Sequence[Observations]) -> Common | None:
    """The common response of markets; None where no price of any moves."""
    moved = [one for one in map(_moved, markets) if one.information > 0]
    return _common(moved, _noise(moved)) if moved else None


def response_of(observations: Observations, seen: Mask, others: Sequence[Observations]) -> Response | None:
    """A market's response, from its cells seen and what others have in common; None where no price moves anywhere."""
    own, moved = _moved(observations, seen), [one for one in map(_moved, others) if one.information > 0]
    noise = _noise([*moved, own] if own.information > 0 else moved)
    known: list[Response] = []
    if moved:
        common = _common(moved, noise)
        known.append(Response(common.response.estimate, float(np.hypot(common.spread, common.response.error))))
    if own.information > 0:
        known.append(Response(own.estimate, own.variance(noise) ** 0.5))
    if not known:
        return None
    precision = np.array([one.error**-2.0 for one in known])
    estimate = float(precision @ [one.estimate for one in known] / precision.sum())
    return Response(estimate, float(precision.sum() ** -0.5))


def own_elasticity(response: Response, days: Days, providers: Sequence[int]) -> Response:
    """The own-price elasticity of some providers together, weighted by revenue, where shares move in proportion."""
    flow, chosen = days.completed_flow(), list(providers)
    revenue = (days.paid * flow).sum(axis=1)[:, chosen]
    load = flow.sum(axis=1)
    share = (load / load.sum(axis=1, keepdims=True))[:, chosen]
    rest = float((revenue * (1.0 - share)).sum() / revenue.sum())
    return Response(rest * response.estimate, rest * response.error)


def _common(moved: Sequence[_Moved], noise: _Noise) -> Common:
    own = np.array([one.estimate for one in moved])
    square = np.array([one.variance(noise) for one in moved])
    spread = _spread(own, square)
    weight = 1.0 / (spread + square)
    mean = Response(float(weight @ own / weight.sum()), float(weight.sum() ** -0.5))
    return Common(mean, spread**0.5, len(moved))


def _spread(own: Array, square: Array) -> float:
    """tau^2 of the module docstring."""

    def excess(spread: float) -> float:
        weight = 1.0 / (spread + square)
        mean = weight @ own / weight.sum()
        return float(weight @ (own - mean) ** 2) - (len(own) - 1)

    if len(own) < 2 or excess(0.0) <= 0:
        return 0.0
    return float(brentq(excess, 0.0, float(len(own) * ((own - own.mean()) ** 2).max())))


def _noise(moved: Sequence[_Moved]) -> _Noise:
    free = sum(one.free for one in moved)
    variance = max(sum(float(one.left @ one.left) for one in moved) / max(free, 1), _LEAST)
    together = apart = 0.0
    for one in moved:
        pull = one.price * one.left
        together, apart = together + float((np.bincount(one.pair, pull) ** 2).sum()), apart + float(pull @ pull)
    return _Noise(variance, max(together / max(apart, _LEAST), 1.0))


def _moved(observations: Observations, seen: Mask | None = None) -> _Moved:
    cells = observations.cells if seen is None else observations.cells & seen
    price = observations.paid if observations.components else observations.paid[:, None]
    price = np.broadcast_to(np.nan_to_num(price), cells.shape)
    cells = cells & (price > 0)
    day, user, provider = cells.nonzero()
    pair, turn = user * observations.m + provider, day * observations.n + user
    demand = np.where(observations.present, observations.demand, 1.0)[:, :, None]
    share = np.log(np.maximum(observations.flow / demand, LEAST_SHARE)[cells])
    moves = _less_effects(_held(np.log(np.where(cells, price, 1.0)), cells)[cells], pair, turn)
    if np.abs(moves).max(initial=0.0) <= _STILL:
        moves = np.zeros_like(moves)
    free = len(moves) - len(np.unique(pair)) - len(np.unique(turn))
    return _Moved(moves, _less_effects(share, pair, turn), pair, free)


def _held(price: Array, cells: Mask) -> Array:
    """Log prices, each as it was until it is an event off that."""
    held, last = price.copy(), np.full(price.shape[1:], np.nan)
    for t in range(len(price)):
        off = np.abs(price[t] - last) > np.log(1.0 + EVENT)
        last = np.where(cells[t] & (off | np.isnan(last)), price[t], last)
        held[t] = np.where(cells[t], last, price[t])
    return held


def _less_effects(amounts: Array, pair: NDArray[np.intp], turn: NDArray[np.intp]) -> Array:
    """Amounts less the effects of pairs and of users' days, by turns of taking out the means of each."""
    for _ in range(_TURNS):
        before = amounts
        for group in (pair, turn):
            count = np.maximum(np.bincount(group), 1)
            amounts = amounts - (np.bincount(group, amounts) / count)[group]
        if np.abs(amounts - before).max(initial=0.0) <= _SETTLED:
            break
    return amounts
