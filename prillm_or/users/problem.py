"""The users' side of a market in scaled money, ready to be solved at many decisions; see `equilibrium.py`."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from math import isinf
from typing import TYPE_CHECKING, Any

import numpy as np

from prillm_or.errors import ConvergenceError
from prillm_or.market.decisions import Tariff, all_prices, per_unit, rises, tariff_of
from prillm_or.market.market import Array, Market, Mask
from prillm_or.market.scale import beyond_precision
from prillm_or.users.digits import offset_tails, rise_tails
from prillm_or.users.kernel import kernel_of
from prillm_or.users.laplacian import Laplacian
from prillm_or.users.pairs import AllPairs, Pairs

if TYPE_CHECKING:
    from prillm_or.users._kernel import Small

_AMPLE = 1e3
_VISIBLE = 1e-10
_OF_ALL = 1e-2


@dataclass(frozen=True, eq=False)
class UserProblem:
    """The users' side of a market in scaled money, ready to be solved at many decisions of the leader.

    Parameters
    ----------
    base
        Shape (n, m): offsets g_ij where all decisions are 0, less `shift`.
    shift
        Shape (n,): each user's smallest offset. A cost common to all of a user's choices changes nothing but rounding.
    sensitivity
        Shape (n, k): rho, the rise of g_ij at the provider of each decision per unit of it; w_p,i / w_q,i of a price.
    capacity, demand
        Shapes (m,) and (n,); capacities are infinite without congestion.
    leader
        Positions of the leader's providers.
    decided
        Position of each decision's provider, k of them.
    scale
        Shape (n,): w_q,i, scaled money times this is user i's own money; 1 without congestion.
    width
        Shape (m,), or (n, m) where pairs of one provider differ: a_ij, flow per slack.
    tariff
        How earnings follow from flows; None where they are prices times loads.
    market
        Where the offsets come from, for their digits beyond the first 16; None where the offsets are exact.
    fixed
        Loads of others beside these users, shape (m,), which stand still; the offsets hold what they add to congestion.
    """

    base: Array
    shift: Array
    sensitivity: Array
    capacity: Array
    demand: Array
    leader: tuple[int, ...]
    decided: tuple[int, ...]
    scale: Array
    width: Array
    tariff: Tariff | None = None
    market: Market | None = None
    fixed: Array | float = 0.0

    @property
    def name(self) -> str:
        """What a message calls them."""
        return "users" if self.market is None else self.market.name

    @cached_property
    def finest(self) -> float:
        """The least slack that counts, in scaled money: a part of the smallest demand at the largest width.

        Of users beside others whose loads stand still loads alone are asked for: a part of all demand counts.
        """
        least = np.minimum.reduce(self.demand) if self.whole else _OF_ALL * (np.sum(self.fixed) + self.demand.sum())
        return _VISIBLE * float(least / np.maximum.reduce(self.width, axis=None))

    @cached_property
    def fastest(self) -> float:
        """The largest rho."""
        return float(self.sensitivity.max())

    @cached_property
    def alike(self) -> bool:
        """Whether a decision makes its provider dearer by the same for all users."""
        return bool((self.sensitivity == self.sensitivity[0]).all())

    def width_of(self, j: int) -> float:
        """Sum of the widths of all pairs with provider j."""
        if self.width.ndim == 1:
            return len(self.demand) * self.width.item(j)
        return float(self.width[:, j].sum())

    @property
    def whole(self) -> bool:
        """Whether there are no others beside these users."""
        return isinstance(self.fixed, float)

    @property
    def congested(self) -> bool:
        """Whether load makes a provider dearer."""
        return not isinf(self.capacity.item(0))

    @cached_property
    def stiffness(self) -> float:
        """How much wider than its provider's capacity a pair may be, >= 1: as much more is rounding in K."""
        if self.width.ndim == 1 or not self.congested:
            return 1.0
        return max(1.0, float((self.width / self.capacity).max()))

    @cached_property
    def kernel(self) -> Small | None:
        """These users for the code in C; None where numpy is to compute."""
        return kernel_of(self, ample_provider(self))

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "kernel"}

    def laplacian(self, support: Mask) -> Laplacian:
        """K on a support."""
        return Laplacian(support, self.capacity, self.width)

    def excess(self, load: Array, congestion: Array) -> Array:
        """By how much loads are above those that would congest providers so, shape (m,); 0 without congestion."""
        if not self.congested:
            return np.zeros_like(load)
        return load - self.capacity * congestion

    def billed(self, pairs: Pairs, flow: Array) -> Array:
        """Volumes that are billed, of flows on pairs: loads, shape (m,), or shape (m, C) with a tariff."""
        if self.tariff is None:
            return pairs.sums(flow)[1]
        return np.column_stack([pairs.times_users(units, flow) for units in self.tariff.mix.T])

    def tails(self, decisions: Array, pairs: Pairs) -> Array:
        """What `offsets` lacks of the exact ones, values on pairs."""
        if self.market is None:
            return np.zeros_like(pairs.take(self.base))
        tails = self._tails.copy() if isinstance(pairs, AllPairs) else offset_tails(self.market, self, pairs)
        for j, lost in rise_tails(self.market, self, decisions).items():
            pairs.lower(tails, j, -lost)
        return tails

    @cached_property
    def _tails(self) -> Array:
        assert self.market is not None
        return offset_tails(self.market, self, AllPairs(self.base.shape))

    def offsets(self, decisions: Array) -> Array:
        """Offsets g less the shift, shape (n, m), at the leader's decisions, shape (k,)."""
        offsets = self.base.copy()
        for j, rho, value in zip(self.decided, self.sensitivity.T, decisions, strict=True):
            offsets[:, j] += rho * value
        return offsets


@lru_cache(maxsize=1)
def user_problem(market: Market) -> UserProblem:
    """Scale `market`'s users as `equilibrium.py` says; that of the market asked for last is kept.

    Raises
    ------
    ConvergenceError
        When the market's figures are beyond double precision.
    """
    if beyond := list(beyond_precision(market)):
        raise ConvergenceError(f"{market.name}: beyond double precision: {'; '.join(beyond)}")
    prices = per_unit(market, all_prices(market, 0.0))
    best = market.worth.max()
    value = market.worth - best  # first, for the digits of huge values with small differences
    own = market.price_weight[:, None] * prices + market.delay_weight[:, None] * market.delay - value
    scale = market.congestion_weight if market.congested else np.ones(market.n)
    base = own / scale[:, None]
    shift = base.min(axis=1)
    return UserProblem(
        base=base - shift[:, None],
        shift=shift - best / scale,
        sensitivity=(market.price_weight / scale)[:, None] * rises(market),
        capacity=market.capacity if market.congested else np.full(market.m, np.inf),
        demand=market.demand,
        leader=market.leader,
        decided=tuple(decision.provider for decision in market.decisions),
        scale=scale,
        width=widths(market, market.capacity, market.provider_dispersion),
        tariff=tariff_of(market),
        market=market,
    )


def bare_users(offsets: Array, capacity: Array, demand: Array, width: Array | None = None) -> UserProblem:
    """Users of given offsets, shape (n, m), in scaled money, whom nobody leads.

    One user a row, without dispersion, unless there is a width of each pair; then capacities may be infinite.
    """
    n = len(demand)
    return UserProblem(
        base=offsets,
        shift=np.zeros(n),
        sensitivity=np.empty((n, 0)),
        capacity=capacity,
        demand=demand,
        leader=(),
        decided=(),
        scale=np.ones(n),
        width=capacity if width is None else width,
    )


def widths(market: Market, capacity: Array, dispersion: Array) -> Array:
    """Flow per slack: shape (m,) where the pairs of a provider are alike, else (n, m).

    `capacity` and `dispersion`, shape (m,), are those of any m providers, the market's own or others.
    """
    if not market.congested:
        return market.demand[:, None] / np.multiply.outer(market.dispersion, dispersion)
    crowd = np.count_nonzero(market.count > 1)
    if not np.count_nonzero(market.dispersion):
        return np.multiply.outer(market.count, capacity) if crowd else capacity
    tastes = np.multiply.outer(market.dispersion, dispersion)
    by_taste = tastes / (market.congestion_weight * market.demand)[:, None]
    return np.asarray(1.0 / (1.0 / np.multiply.outer(market.count, capacity) + by_taste))


def is_ample(capacity: Array, demand: Array) -> Mask:
    """Providers whose capacity is above a thousand times the total demand, shape (m,): no load congests them."""
    ample: Mask = capacity > _AMPLE * demand.sum()
    return ample


def ample_provider(users: UserProblem) -> int | None:
    """The provider that no load congests, such as an outside option: the largest of several, None where there is none.

    The slack of a pair with it, flow over width, is less than the rounding of levels; `rest` gives its flow.
    """
    capacity, demand = users.capacity, users.demand
    if not users.congested:
        return _least_dispersed(users.width)
    largest = int(capacity.argmax())
    # The first demand alone often settles it, without a sum over all users.
    if capacity.item(largest) <= _AMPLE * demand.item(0):
        return None
    return largest if is_ample(capacity, demand).item(largest) else None


def _least_dispersed(width: Array) -> int | None:
    """The provider, if there is one, whose pairs are a thousand times as wide as any other, where nothing congests."""
    widest = np.sort(width, axis=1)[:, -2:]
    if not (widest[:, -1] > _AMPLE * widest[:, 0]).all():
        return None
    largest = width.argmax(axis=1)
    return int(largest[0]) if (largest == largest[0]).all() else None
