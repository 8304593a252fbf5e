r"""Features: what the network of `learned` reads of a market, free of units; no equilibrium of it is solved.

Money is measured by qbar = sum D / sum alpha, the congestion if everybody spread evenly, in the scaled form of
`users/equilibrium.py`; volumes by their means; prices by a guess. Sums and means of alpha leave out rivals of ample
capacity, such as an outside option. Differences of money go through arsinh, ratios through a logarithm, so that heavy
tails stay in range. Scaling money or volume changes no feature, nor does shifting all values.

alpha is the capacity where users are one each and have no dispersion. Else it is the capacity with which a provider
would take as much of as many such users at the same slack: (1 + 1 / n) / (1 / alpha_j + 1 / A_j), A_j the sum of its
widths.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prillm_or.abstraction import capacity
from prillm_or.abstraction.anchors import best_prices, merged_anchor, today_anchor
from prillm_or.abstraction.small_market import ample, least_offset
from prillm_or.limits import Limits
from prillm_or.market.market import Array, Market
from prillm_or.solvers import odca, spgce
from prillm_or.users.equilibrium import solve_users
from prillm_or.users.problem import UserProblem, user_problem
from prillm_or.users.slopes import load_slopes
from prillm_or.users.threads import over_blocks

_LARGEST_LOG = 4.0
_TINY = 1e-12


@dataclass(frozen=True, eq=False)
class Features:
    """Of n users and m rivals.

    Parameters
    ----------
    pairs
        Shape (n, m, .), in single precision, as the network reads it: these are many.
    users
        Shape (n, .).
    rivals
        Shape (m, .).
    market
        Shape (.,).
    share
        Shape (n,): of the total demand.
    """

    pairs: NDArray[np.float32]
    users: Array
    rivals: Array
    market: Array
    share: Array

    def arrays(self) -> dict[str, NDArray[Any]]:
        """All of it in single precision, and masks of who is there: what the network is given of one market."""
        n, m = self.pairs.shape[:2]
        read = {field.name: np.asarray(getattr(self, field.name), np.float32) for field in fields(self)}
        return {**read, "user_mask": np.ones(n, dtype=bool), "rival_mask": np.ones(m, dtype=bool)}


def market_features(market: Market) -> tuple[tuple[float, ...], Features]:
    """Guesses at the best price of a leader with one provider, and what the network needs to correct the first.

    The first is the best price of the coarsest `capacity` merge; of its users' equilibrium there come the multipliers
    that offsets are compared with. No equilibrium of the full market is solved, but two surrogates of it are: the
    baselines `spgce` and `odca`, whose prices are the other guesses. Cost: n m, and theirs.
    """
    users, own, rivals = user_problem(market), market.leader[0], list(market.rivals)
    merged = capacity.coarsest(market).market
    guess = max(float(merged_anchor(merged)[0]), _TINY * float(market.price_cap[0]))
    small = user_problem(merged)
    found = solve_users(small, np.array([guess]))
    level = found.multiplier / small.scale - users.shift
    size = _sizes(users)
    usual = size[~ample(market)]
    unit = users.demand.sum() / usual.sum()
    share = users.demand / users.demand.sum()
    sensitivity = float(share @ users.sensitivity[:, 0])

    cheapest, mean = least_offset(users, rivals), (share @ users.base)[rivals]
    leader = users.base[:, own] + users.sensitivity[:, 0] * guess

    pairs = np.empty((market.n, len(rivals), 4), dtype=np.float32)

    def fill(block: slice) -> None:  # all in double would be too many
        offsets = users.base[block][:, rivals]
        advantage = np.arcsinh((level[block, None] - offsets) / unit)
        dearer = (offsets - cheapest[block, None]) / unit
        for feature, values in enumerate((advantage, np.arcsinh(dearer), np.maximum(advantage, 0.0), np.exp(-dearer))):
            pairs[block, :, feature] = values

    for _ in over_blocks(fill, pairs.shape[:2]):
        pass

    load, slope = float(found.load[small.leader[0]]), float(load_slopes(small, found.laplacian)[0, 0])
    surrogates = (spgce.propose(market, users), odca.propose(market, users, Limits()))
    others = [float(best_prices(proposal)[0]) for proposal in surrogates]
    return (guess, *others), Features(
        pairs=pairs,
        users=np.stack(
            [
                _log(users.demand / users.demand.mean()),
                found.flow[:, small.leader[0]] / users.demand,
                np.arcsinh((level - leader) / unit),
                _log(users.sensitivity[:, 0] / sensitivity),
                np.arcsinh((leader - cheapest) / unit),
            ],
            axis=-1,
        ),
        rivals=np.stack(
            [
                _log(size[rivals] / usual.mean()),
                _log(size[rivals] / size[own]),
                np.arcsinh((share @ level - mean) / unit),
            ],
            axis=-1,
        ),
        market=np.array(
            [
                np.log(market.n) / 3,
                np.log(len(rivals)) / 2,
                _log(size[own] / usual.mean()),
                *(_log(price / guess) for price in (*others, float(today_anchor(market)[0]), market.price_cap[0])),
                load / users.demand.sum() * market.m,
                min(-guess * slope / max(load, _TINY * float(users.demand.sum())), 5.0),
                np.arcsinh(sensitivity * guess / unit),
                min(market.unit_cost[own] / guess, 5.0),
                np.arcsinh((share @ leader - mean.mean()) / unit),
            ]
        ),
        share=share,
    )


def _sizes(users: UserProblem) -> Array:
    """What stands for the capacities, shape (m,); see the module docstring."""
    if users.width.ndim == 1:
        return users.capacity
    n = len(users.demand)
    return np.asarray((1 + 1 / n) / (1 / users.capacity + 1 / users.width.sum(axis=0)))


def _log(ratio: Array | float) -> Array:
    return np.clip(np.log(np.maximum(ratio, _TINY)), -_LARGEST_LOG, _LARGEST_LOG)
