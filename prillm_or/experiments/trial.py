r"""Trial: two prices to ask in turn, and for how long, at the least cost that narrows the range of best prices enough.

One of K points k is right, with weight w_k; it has the best price b_k, the profit pi_k(p) and the load x_k(p), all
exact (`points.py`). The best guess g has the highest mean profit. A trial asks p for three days, then q for three days,
and so on: n pairs in 6 n days. Each pair shows the change of log load, sigma its standard deviation without any change
of price, so that their mean is

    y ~ N(e_k, sigma^2 / n),    e_k = log x_k(p) - log x_k(q),    w_k(y) ~ w_k exp(-n (y - e_k)^2 / (2 sigma^2)).

A drift cancels within a pair; the change from one pair to the next is not used, so that the plan errs on the side of
caution where shares drift and do not come back.

The range after y runs from the 5 % to the 95 % quantile of the best prices at the weights w_k(y). The density of y is a
mixture of normals, and the power of a trial, how likely the range is no wider than wished, a sum over cells of y:

    power = sum_c [width(y_c) <= wished] sum_k w_k P(y in cell c | k).

What a trial costs against the best guess is 3 n sum_k w_k (2 pi_k(g) - pi_k(p) - pi_k(q)). Two prices on either side of
g cost half of what g and one price cost that are as far apart, since losses grow with the square. While it goes on the
best price is not known, which costs 6 n sum_k w_k (pi_k(b_k) - pi_k(g)) besides: a short dear trial may be better than
a long cheap one. So of the trials that reach the wished power the one is taken whose costs sum to the least. Where none
does within the longest, it is that which narrows the range most for its costs; its power says how far it goes.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np

from prillm_or.calibration.noise import WINDOW
from prillm_or.experiments.points import Points, ends
from prillm_or.market.market import Array

_PAIR = 2 * WINDOW
_MOST_PAIRS = 60
_STEPS = (0.0, 0.1, 0.2, 0.3)
"""How far from the best guess a trial may go, as a share of it. Beyond, what the model says of shares is too little."""
_CELLS, _REACH = 61, 2.5
_NO_MATTER, _TINY = 1e-6, 1e-300


@dataclass(frozen=True)
class Trial:
    """Two prices to ask in turn, each for three days.

    Parameters
    ----------
    price, against
        The one that is farther from the best guess, of equals the higher, and the other, which may be the best guess:
        currency per volume unit, or factors.
    days
        How long, half of them at each.
    cost
        Expected loss of profit over these days against asking the best guess, currency.
    power
        How likely the range of best prices is no wider than wished afterwards.
    width
        How wide it is to be expected then.
    """

    price: float
    against: float
    days: int
    cost: float
    power: float
    width: float


def best_trial(points: Points, noise: float, width: float, power: float) -> Trial | None:
    """Choose the trial, None where there are no two prices to try.

    Parameters
    ----------
    noise
        Standard deviation of the change of log load between neighbouring windows at one price.
    width
        The range of best prices wished for, currency per volume unit.
    power
        How likely it is to be reached.
    """
    guess, cap, (low, high) = points.guess, points.curves[0].cap, points.range
    prices = np.unique([min(guess * (1 + sign * step), cap) for step in _STEPS for sign in (-1, 1)])
    logs, lost = points.log_loads(prices), np.maximum(points.losses(prices), 0.0)
    found: list[tuple[bool, float, Trial]] = []
    for p, q in combinations(range(len(prices)), 2):
        if not prices[p] <= guess <= prices[q]:
            continue
        effect, lost_a_pair = logs[:, q] - logs[:, p], WINDOW * float(lost[p] + lost[q])
        pairs = _fewest(points, effect, noise, width, power)
        reached, after = outcome(points, effect, noise / np.sqrt(pairs), width)
        cost, worth = pairs * lost_a_pair, pairs * (lost_a_pair + _PAIR * points.doubt)
        price, against = sorted(prices[[q, p]].tolist(), key=lambda one: -abs(one - guess))
        trial = Trial(price, against, _PAIR * pairs, cost, reached, after)
        enough = reached >= power
        found.append((not enough, worth if enough else (after - high + low) / max(worth, _TINY), trial))
    return min(found, key=lambda one: one[:2])[2] if found else None


def _fewest(points: Points, effect: Array, noise: float, width: float, power: float) -> int:
    """The fewest pairs that reach the power, or the most there may be; power rises with them."""
    low, high = 1, _MOST_PAIRS
    while low < high:
        middle = (low + high) // 2
        if outcome(points, effect, noise / np.sqrt(middle), width)[0] >= power:
            high = middle
        else:
            low = middle + 1
    return low


def outcome(points: Points, effect: Array, error: float, width: float) -> tuple[float, float]:
    """Power of a trial, and the width to be expected after it.

    Parameters
    ----------
    effect
        Shape (K,): the change of log load at each point.
    error
        Standard deviation of what is seen of it.
    """
    from scipy.special import ndtr

    likely = points.weight > _NO_MATTER * points.weight.max()
    best, weight, effect = points.best[likely], points.weight[likely], effect[likely]
    reach = _REACH * error
    seen = np.linspace(effect.min() - reach, effect.max() + reach, _CELLS)
    borders = np.concatenate([[-np.inf], (seen[1:] + seen[:-1]) / 2, [np.inf]])
    chance = weight @ np.diff(ndtr((borders - effect[:, None]) / error), axis=1) / weight.sum()
    fit = -(((seen[:, None] - effect) / error) ** 2) / 2
    after = weight * np.exp(fit - fit.max(axis=1, keepdims=True))
    low, high = ends(best, after / after.sum(axis=1, keepdims=True))
    return float(chance @ (high - low <= width)), float(chance @ (high - low))
