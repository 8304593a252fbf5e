r"""digits: flows to full precision where congestion is weak beside the other costs, by residuals of twice the digits.

A flow is a capacity times a slack, f_ij = alpha_j (lambda_i - g_ij - q_j). Where capacities are large beside demands a
slack is a tiny difference of large numbers: of 16 digits in the levels few are left in it, and who uses whom may be
lost, too. So offsets, levels and congestion are carried here as unevaluated sums of two numbers, head and tail, of some
32 digits. The flows that follow from them miss the demands by residuals that are right to the last digit, and solving
for these in ordinary precision corrects the levels: iterative refinement. K, scaled to a diagonal of ones, is well
conditioned whatever the capacities (`docs/mathematics.md`, 4), so that a few rounds are enough.

References: T. J. Dekker, "A floating-point technique for extending the available precision", Numerische Mathematik 18
(1971) 224-242, doi 10.1007/BF01397083; iterative refinement: N. J. Higham, Accuracy and Stability of Numerical
Algorithms, SIAM 2002, chapter 12.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from prillm_or.market.decisions import all_prices, rises
from prillm_or.market.market import Array, Market, Mask
from prillm_or.users.laplacian import Laplacian
from prillm_or.users.pairs import Pairs, below, pairs_of

if TYPE_CHECKING:
    from prillm_or.users.problem import UserProblem

_HALVES = 2.0**27 + 1.0
_MOST_SUPPORTS = 100
_NO_SLACK = 2.0**-96

Double = tuple[Array, Array]
"""Head and tail: a number is their sum, and the head is the nearest ordinary number to it."""


def plus(a: Array, b: Array) -> Double:
    """Sum of two numbers, without an error."""
    head = a + b
    rounded = head - a
    return head, (a - (head - rounded)) + (b - rounded)


def times(a: Array, b: Array) -> Double:
    """Product of two numbers, without an error."""
    (high, low), (top, rest) = _halves(a), _halves(b)
    head = a * b
    return head, low * rest - (((head - high * top) - low * top) - high * rest)


def _halves(a: Array) -> Double:
    high = _HALVES * a
    high = high - (high - a)
    return high, a - high


def _sum(a: Double, b: Double) -> Double:
    head, tail = plus(a[0], b[0])
    return plus(head, tail + (a[1] + b[1]))


def _times(a: Double, by: Array) -> Double:
    head, tail = times(a[0], by)
    return plus(head, tail + a[1] * by)


def _over(a: Double, by: Array) -> Double:
    head = a[0] / by
    back, rest = times(head, by)
    return plus(head, (((a[0] - back) - rest) + a[1]) / by)


def offset_tails(market: Market, users: UserProblem, pairs: Pairs) -> Array:
    """What `users.base` lacks of the market's exact offsets at price 0 of the leader, less `users.shift`; on pairs."""
    price_weight, delay_weight, scale, shift = map(
        pairs.of_users, (market.price_weight, market.delay_weight, users.scale, users.shift)
    )
    value = pairs.spread(market.worth)
    spent = _times(_billed(market, all_prices(market, 0.0), pairs), price_weight)
    own = _sum(_sum(spent, times(delay_weight, pairs.take(market.delay))), (-value, 0.0 * value))
    head, tail = _sum(_over(own, scale), (-shift, 0.0 * shift))
    return np.asarray((head - pairs.take(users.base)) + tail)


def _billed(market: Market, table: Array, pairs: Pairs) -> Double:
    """What a unit of volume comes to by a table of prices, on pairs."""
    if table.ndim == 1:
        price = pairs.of_providers(table)
        return price, 0.0 * price
    total: Double = (np.zeros(()), np.zeros(()))
    for units, price in zip(market.mix.T, table.T, strict=True):
        total = _sum(total, times(pairs.of_users(units), pairs.of_providers(price)))
    return total


def rise_tails(market: Market, users: UserProblem, decisions: Array) -> dict[int, Array]:
    """What offsets lack of the exact rise by the leader's decisions, shape (n,), by the position of the provider."""
    exact: dict[int, tuple[Double, Array]] = {}
    for j in users.decided:
        exact[j] = (users.base[:, j], 0.0 * users.base[:, j]), users.base[:, j]
    parts = zip(users.decided, rises(market).T, users.sensitivity.T, decisions, strict=True)
    for j, rise, rho, value in parts:
        own = _over(_times(times(market.price_weight, rise), np.full_like(rise, value)), users.scale)
        total, rounded = exact[j]
        exact[j] = (_sum(total, own), rounded + rho * value)
    return {j: (total[0] - rounded) + total[1] for j, (total, rounded) in exact.items()}


@dataclass(frozen=True, eq=False)
class Settled:
    """An equilibrium to full precision.

    Parameters
    ----------
    level, congestion
        Shapes (n,) and (m,).
    laplacian
        On the support.
    pairs, flow
        The pairs that were looked at, and their flows, which meet the demands.
    """

    level: Array
    congestion: Array
    laplacian: Laplacian
    pairs: Pairs
    flow: Array


def settle(
    users: UserProblem, prices: Array, laplacian: Laplacian, level: Array, congestion: Array, noise: float
) -> Settled:
    """Find the equilibrium to full precision from one whose slacks are known up to `noise`.

    Newton's method goes on, on the pairs whose sign is in doubt. Where even 32 digits do not settle it, it ends at the
    last support: the certificate will tell.
    """
    demand = users.demand
    offsets = users.offsets(prices)
    pairs = pairs_of(below(offsets, congestion, level + noise) | laplacian.support)
    head, tail, width = pairs.take(offsets), users.tails(prices, pairs), pairs.spread(users.width)
    levels, crowds = (level, np.zeros_like(level)), (congestion, np.zeros_like(congestion))

    def slack() -> Array:
        first, lost = plus(pairs.of_users(levels[0]), -head)
        second, also = plus(first, -pairs.of_providers(crowds[0]))
        return second + (lost + also + pairs.of_users(levels[1]) - tail - pairs.of_providers(crowds[1]))

    for _ in range(_MOST_SUPPORTS):
        used = pairs.take(laplacian.support)
        missing = np.inf
        while True:
            room = slack()
            flow = np.where(used, width * room, 0.0)
            routed, load = pairs.sums(flow)
            short, over = demand - routed, users.excess(load, crowds[0] + crowds[1])
            before, missing = missing, float(np.abs(short / demand).max() + np.abs(over).max() / demand.sum())
            if not missing < before / 2:
                break
            d_level, d_congestion = laplacian.solve(short, over)
            levels = plus(levels[0], levels[1] + d_level)
            crowds = plus(crowds[0], crowds[1] + d_congestion)
        doubt = _NO_SLACK * (np.abs(pairs.of_users(levels[0])) + np.abs(pairs.of_providers(crowds[0])))
        after = np.where(np.abs(room) > doubt, room > 0, used)
        if np.array_equal(after, used):
            break
        support = pairs.mask(after.astype(np.float64))
        laplacian = users.laplacian(serve_all(support, offsets, crowds[0]))
    flow = np.maximum(flow, 0.0)
    routed, _ = pairs.sums(flow)
    if (lost := routed == 0).any():  # of demands beyond even these digits: all of it goes where it is cheapest
        only = serve_all(np.zeros(users.base.shape, dtype=np.bool_), offsets, crowds[0])
        flow = flow + pairs.take(only) * pairs.of_users(np.where(lost, 1.0, 0.0))
        routed = np.where(lost, 1.0, routed)
    return Settled(levels[0], crowds[0], laplacian, pairs, flow * pairs.of_users(demand / routed))


def serve_all(support: Mask, offsets: Array, congestion: Array) -> Mask:
    """Give each user that a support leaves without a provider its cheapest one, in place; the support."""
    served = np.logical_or.reduce(support, axis=1)
    if np.count_nonzero(served) < len(served):
        alone = np.flatnonzero(~served)
        support[alone, (offsets[alone] + congestion).argmin(axis=1)] = True
    return support
