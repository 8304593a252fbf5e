r"""Parameters: the vector of numbers that a fit of a specification searches.

With units of money (a mean price) and waiting (a mean delay), so that all numbers are of order 1,

    w_q = exp(theta_q),    w_d = theta_d money / waiting,    b_j = money theta_j,
    w_q,i = w_q exp(u_i),  w_p,i = exp(v_i),     b_ij = b_j + money (delta_g(i)j + phi_iF(j) + eps_ij),
    s_ij = money exp(theta_s + e_i), or money exp(theta_s + h_j),

and the offsets of `users/differentiable.py` are g_ij = (w_p,i p_j + w_d d_ij - b_ij) / w_q,i. Their derivatives are
short:

    dg/dtheta_q = dg/du_i = -g,    dg/dtheta_d = (money / waiting) d / w_q,i,    dg/dv_i = w_p,i p / w_q,i,
    dg/dtheta_j = dg/ddelta_gj = dg/dphi_iF = dg/deps_ij = -money / w_q,i.

F(j) is the family of provider j: what a user of its own holds a provider to be worth is shrunk towards what it holds
the family to be worth, and that towards the common value.

Dispersion is in the widths of pairs, 1/a_ij = 1/alpha_j + r_ij with r_ij = s_ij / (w_q,i D_i), and

    dr/dtheta_s = dr/de_i = dr/dh_j = r,    dr/dtheta_q = dr/du_i = -r.

The value of one provider, the reference, is held at 0: a constant added to all changes no flow. What is a user's own,
u, v, delta, phi, eps and e, and h of a provider, is shrunk towards 0, the common one. Where congestion is left out
beside dispersion, w_q is 0, no money is divided and alpha is infinite; without dispersion, w_q is next to nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from prillm_or.calibration.days import Days
from prillm_or.calibration.preferences import EVERYONE, Preferences
from prillm_or.calibration.specification import Specification
from prillm_or.errors import ObservationsError
from prillm_or.market.market import Array

_WIDEST = np.log(1e6)
_WEAK = np.log(0.01)
"""Dispersion to go on from where there was none, logarithm in units of money."""
_USED = 1e-3
"""Of a demand: what a user sends to a provider that it is said to use."""
NO_CONGESTION = 1e-6
"""Weight of congestion, in its natural unit, that stands for none: it only splits what costs the same."""


@dataclass(frozen=True, eq=False)
class Parameters:
    """The vector theta of a specification: what its entries mean.

    Parameters
    ----------
    money, waiting
        Units of price (currency per volume) and of delay.
    scale
        The weight of congestion at which it counts as much as prices.
    dispersion_scale
        The dispersion, in units of money, at which own-price elasticities are about -1.
    reference
        The provider whose value is held.
    group_ids, group
        As in `Preferences`.
    places
        Where in theta each kind of number stands.
    """

    specification: Specification
    user_ids: tuple[str, ...]
    provider_ids: tuple[str, ...]
    money: float
    waiting: float
    scale: float
    dispersion_scale: float
    reference: int
    group_ids: tuple[str, ...]
    group: NDArray[np.intp]
    places: Mapping[str, slice]

    @cached_property
    def size(self) -> int:
        """Number of entries."""
        return int(max(place.stop for place in self.places.values()))

    @cached_property
    def shrunk(self) -> NDArray[np.intp]:
        """Entries that are a user's, a group's or a provider's own."""
        return np.concatenate(
            [np.arange(self.size)[self.places[kind]] for kind in ("u", "v", "delta", "e", "h", "phi", "eps")]
        )

    def price_over_spread(self, theta: Array) -> tuple[float, Array]:
        """Log of z, the mean price over what keeps users spread, congestion and dispersion; its derivatives by theta.

        Flows move by a value over this. Means of own weights belong to the common ones, however the two are split.
        """
        return self._price_over(theta, 1.0)

    def elasticity(self, theta: Array) -> tuple[float, Array]:
        """Log of about the own-price elasticity, weighted by revenue, with its sign changed; its derivatives."""
        return self._price_over(theta, self.dispersion_scale)

    def _price_over(self, theta: Array, taste: float) -> tuple[float, Array]:
        spread, by_spread = 0.0, np.zeros(self.size)
        for common, owns, unit in (("q", "u", self.scale), ("s", "eh", taste)):
            if self.places[common].stop > self.places[common].start:
                by_log = self._mean(*owns)
                by_log[self.places[common]] = 1.0
                part = float(np.exp(by_log @ theta)) / unit
                spread, by_spread = spread + part, by_spread + part * by_log
        by_log = self._mean("v")
        if spread == 0.0:
            return float(by_log @ theta) - np.log(NO_CONGESTION), by_log
        return float(by_log @ theta) - np.log(spread), by_log - by_spread / spread

    def prices_of_shrunk(self, theta: Array) -> tuple[Array, Array]:
        """Factors of `shrunk` that their shrinking costs, and the factors' derivatives by theta, shape (., size).

        Own values have the factor z / e^v, with the mean v, own weights of price sqrt((1 + z^2) / 2), the others 1.
        """
        log_z, by_theta = self.price_over_spread(theta)
        factor, changes = np.ones(self.size), np.zeros((self.size, self.size))
        by_v = self._mean("v")
        for kind in ("delta", "phi", "eps"):
            place, z = self.places[kind], np.exp(log_z - by_v @ theta)
            factor[place], changes[place] = z, z * (by_theta - by_v)
        place, square = self.places["v"], np.exp(2.0 * log_z)
        factor[place] = np.sqrt((1.0 + square) / 2.0)
        changes[place] = square / np.sqrt(2.0 * (1.0 + square)) * by_theta
        return factor[self.shrunk], changes[self.shrunk]

    def _mean(self, *kinds: str) -> Array:
        """Derivatives by theta of the sum of the means of some kinds of entries."""
        by_theta = np.zeros(self.size)
        for kind in kinds:
            place = self.places[kind]
            by_theta[place] = 1.0 / max(place.stop - place.start, 1)
        return by_theta

    def names(self) -> Iterator[str]:
        """What each entry is, for people."""
        s = self.specification
        others = [name for j, name in enumerate(self.provider_ids) if j != self.reference]
        yield from ["weight of congestion"] * s.congestion
        yield "weight of delay"
        yield from (f"value of {name}" for name in others if s.values)
        yield from (f"own weight of congestion of {name}" for name in self.user_ids if s.own_congestion)
        yield from (f"own weight of price of {name}" for name in self.user_ids if s.own_price)
        if s.groups:
            yield from (f"value of {name} to {group}" for group in self.group_ids for name in self.provider_ids)
        yield from ["dispersion"] * (s.dispersion is not None)
        yield from (f"own dispersion of {name}" for name in self.user_ids if s.dispersion == "user")
        yield from (f"own dispersion at {name}" for name in self.provider_ids if s.dispersion == "provider")
        if s.own_values:
            yield from (f"own value of family {family} to {user}" for user in self.user_ids for family in self.families)
            yield from (f"own value of {name} to {user}" for user in self.user_ids for name in self.provider_ids)

    @cached_property
    def families(self) -> tuple[str, ...]:
        """Families of two providers or more: in another, its value is that of its only member."""
        return _shared(self.specification.families)

    @cached_property
    def membership(self) -> Array:
        """1 where a provider (columns) is of a family (rows), else 0."""
        m = len(self.provider_ids)
        rows = [[float(name == family) for name in self.specification.families] for family in self.families]
        return np.array(rows).reshape(-1, m)

    def bounds(self) -> tuple[Array, Array]:
        """Lowest and highest theta: weights of delay are not negative, others of a size that can be computed with."""
        low, high = np.full(self.size, -np.inf), np.full(self.size, np.inf)
        for kind, centre in (("q", np.log(self.scale)), *((own, 0.0) for own in "uvseh")):
            low[self.places[kind]], high[self.places[kind]] = centre - _WIDEST, centre + _WIDEST
        low[self.places["d"]] = 0.0
        return low, high

    def pack(self, preferences: Preferences) -> Array:
        """Theta of preferences over the same users and providers."""
        theta = np.zeros(self.size)
        value = preferences.value / self.money
        tastes = preferences.dispersion > 0  # else there are none to start from
        entries = {
            "q": np.log(preferences.congestion or self.scale),
            "s": np.log(preferences.dispersion / self.money) if tastes else _WEAK,
            "e": np.log(preferences.dispersion_factor),
            "h": np.log(preferences.provider_dispersion),
            "d": preferences.delay * self.waiting / self.money,
            "b": np.delete(value - value[self.reference], self.reference),
            "u": np.log(preferences.congestion_factor),
            "v": np.log(preferences.price_factor),
        }
        for kind, entry in entries.items():
            if self.places[kind].stop > self.places[kind].start:
                theta[self.places[kind]] = entry
        if self.specification.groups and preferences.group_ids == self.group_ids:
            theta[self.places["delta"]] = (preferences.group_value / self.money).ravel()
        if self.specification.own_values:
            # Of all splits into families and providers that with the least squares.
            own, member = preferences.user_value / self.money, self.membership
            phi = own @ (member / (1.0 + member.sum(axis=1, keepdims=True))).T
            theta[self.places["phi"]], theta[self.places["eps"]] = phi.ravel(), (own - phi @ member).ravel()
        return theta

    def unpack(self, theta: Array) -> Preferences:
        """Preferences of theta, the least value at 0."""
        n, m = len(self.user_ids), len(self.provider_ids)
        value = self._values(theta)
        own = {kind: np.exp(theta[self.places[kind]]) for kind in ("u", "v", "e", "h")}
        return Preferences(
            user_ids=self.user_ids,
            provider_ids=self.provider_ids,
            congestion=self._congestion(theta),
            delay=self._delay(theta),
            value=value - value.min(),
            congestion_factor=own["u"] if own["u"].size else np.ones(n),
            price_factor=own["v"] if own["v"].size else np.ones(n),
            group_ids=self.group_ids,
            group=self.group,
            group_value=self.money * theta[self.places["delta"]].reshape(-1, m)
            if self.specification.groups
            else np.zeros((len(self.group_ids), m)),
            dispersion=self._dispersion(theta),
            dispersion_factor=own["e"] if own["e"].size else np.ones(n),
            provider_dispersion=own["h"] if own["h"].size else np.ones(m),
            user_value=self._own_values(theta),
        )

    def rescaled(self, theta: Array, factor: float, price: Array) -> Array:
        """Theta with all but money counted so many times as much, which changes no flow at these prices, shape (m,).

        With weights of congestion and delay and dispersion f times as large, and values b' = f b - (f - 1) p, all
        offsets stay as they are; a change of a price counts 1 / f as much, and so does the response.
        """
        scaled, gap = theta.copy(), (price - price[self.reference]) / self.money
        for kind in ("q", "s"):
            scaled[self.places[kind]] += np.log(factor)
        for kind in ("d", "b", "delta", "phi", "eps"):
            scaled[self.places[kind]] *= factor
        if self.specification.values:
            scaled[self.places["b"]] -= (factor - 1.0) * np.delete(gap, self.reference)
        return scaled

    def offsets(self, theta: Array, days: Days) -> Array:
        """Offsets g, shape (T, n, m)."""
        n, m = len(self.user_ids), len(self.provider_ids)
        price_weight = np.exp(theta[self.places["v"]]) if self.specification.own_price else np.ones(n)
        value = np.broadcast_to(self._values(theta), (n, m))
        if self.specification.groups:
            value = value + self.money * theta[self.places["delta"]].reshape(-1, m)[self.group]
        if self.specification.own_values:
            value = value + self._own_values(theta)
        own = price_weight[:, None] * days.paid + self._delay(theta) * days.delay - value
        return np.asarray(own / self._weights(theta)[:, None])

    def offset_changes(self, theta: Array, days: Days, offsets: Array) -> Array:
        """Derivatives of the offsets by theta, shape (T, n, m, size)."""
        (n, m), s, at = offsets.shape[1:], self.specification, self.places
        per_weight = 1.0 / self._weights(theta)
        changes = np.zeros((*offsets.shape, self.size))
        paid = np.broadcast_to(days.paid, offsets.shape)
        if s.congestion:
            changes[..., at["q"].start] = -offsets
        changes[..., at["d"].start] = self.money / self.waiting * days.delay * per_weight[:, None]
        if s.values:
            for place, j in enumerate(np.delete(np.arange(m), self.reference), at["b"].start):
                changes[:, :, j, place] = -self.money * per_weight
        for i in range(n):
            if s.own_congestion:
                changes[:, i, :, at["u"].start + i] = -offsets[:, i]
            if s.own_price:
                factor = np.exp(theta[at["v"].start + i]) * per_weight[i]
                changes[:, i, :, at["v"].start + i] = factor * paid[:, i]
            if s.groups:
                first = at["delta"].start + m * self.group[i]
                changes[:, i, np.arange(m), first + np.arange(m)] = -self.money * per_weight[i]
            if s.own_values:
                first, count = at["eps"].start + m * i, len(self.families)
                changes[:, i, np.arange(m), first + np.arange(m)] = -self.money * per_weight[i]
                family = slice(at["phi"].start + count * i, at["phi"].start + count * (i + 1))
                changes[:, i, :, family] = -self.money * per_weight[i] * self.membership.T
        return changes

    def tastes(self, theta: Array) -> Array:
        """Dispersion in scaled money, shape (n, m); 0 where there is none."""
        n, m = len(self.user_ids), len(self.provider_ids)
        user = np.exp(theta[self.places["e"]]) if self.specification.dispersion == "user" else np.ones(n)
        provider = np.exp(theta[self.places["h"]]) if self.specification.dispersion == "provider" else np.ones(m)
        return self._dispersion(theta) * np.multiply.outer(user / self._weights(theta), provider)

    def taste_changes(self, theta: Array, days: Days) -> Array:
        """Derivatives of r by theta, shape (T, n, m, size)."""
        s, at, r = self.specification, self.places, days.tastes(self.tastes(theta))
        n, m = r.shape[1:]
        changes = np.zeros((*r.shape, self.size))
        changes[..., at["s"].start] = r
        if s.congestion:
            changes[..., at["q"].start] = -r
        for i in range(n):
            if s.own_congestion:
                changes[:, i, :, at["u"].start + i] = -r[:, i]
            if s.dispersion == "user":
                changes[:, i, :, at["e"].start + i] = r[:, i]
        for j in range(m if s.dispersion == "provider" else 0):
            changes[:, :, j, at["h"].start + j] = r[:, :, j]
        return changes

    def _dispersion(self, theta: Array) -> float:
        if self.specification.dispersion is None:
            return 0.0
        return float(self.money * np.exp(theta[self.places["s"].start]))

    def _congestion(self, theta: Array) -> float:
        if not self.specification.congestion:
            return NO_CONGESTION * self.scale if self.specification.congested else 0.0
        return float(np.exp(theta[self.places["q"].start]))

    def _delay(self, theta: Array) -> float:
        return float(theta[self.places["d"].start] * self.money / self.waiting)

    def _values(self, theta: Array) -> Array:
        if not self.specification.values:
            return np.zeros(len(self.provider_ids))
        return self.money * np.insert(theta[self.places["b"]], self.reference, 0.0)

    def _own_values(self, theta: Array) -> Array:
        """What users of their own hold providers to be worth beyond all others, shape (n, m)."""
        n, m = len(self.user_ids), len(self.provider_ids)
        if not self.specification.own_values:
            return np.zeros((n, m))
        phi = theta[self.places["phi"]].reshape(n, len(self.families))
        return self.money * (phi @ self.membership + theta[self.places["eps"]].reshape(n, m))

    def _weights(self, theta: Array) -> Array:
        weight = np.full(len(self.user_ids), self._congestion(theta) if self.specification.congested else 1.0)
        return weight * np.exp(theta[self.places["u"]]) if self.specification.own_congestion else weight


def parameters_of(
    specification: Specification, days: Days, user_ids: Sequence[str], provider_ids: Sequence[str], name: str
) -> Parameters:
    """Lay out theta for these days.

    Raises
    ------
    ObservationsError
        When a group names a user who is not there or who is in another group.
    """
    group_ids, group = _groups(specification.groups, user_ids, name)
    n, m = len(user_ids), len(provider_ids)
    flow = days.completed_flow()
    volume, load = flow.sum(), flow.sum(axis=1)
    spent = load * days.price if days.price.ndim == 2 else flow * days.price
    money = float(spent.sum() / volume) or 1.0
    waiting = float((flow * days.delay).sum() / volume) or 1.0
    congestion = float((load * load / days.capacity).sum() / volume)
    s = specification
    sizes = {
        "q": int(s.congestion),
        "d": 1,
        "b": (m - 1) * s.values,
        "u": n * s.own_congestion,
        "v": n * s.own_price,
        "delta": len(group_ids) * m if s.groups else 0,
        "s": int(s.dispersion is not None),
        "e": n * (s.dispersion == "user"),
        "h": m * (s.dispersion == "provider"),
        "phi": n * len(_shared(s.families)) * s.own_values,
        "eps": n * m * s.own_values,
    }
    ends = np.cumsum(list(sizes.values())).tolist()
    places = {kind: slice(end - size, end) for (kind, size), end in zip(sizes.items(), ends, strict=True)}
    return Parameters(
        specification=specification,
        user_ids=tuple(user_ids),
        provider_ids=tuple(provider_ids),
        money=money,
        waiting=waiting,
        scale=money / congestion,
        dispersion_scale=_dispersion_scale(days, flow) / money,
        reference=int(np.argmax(np.where(days.train, days.flow, 0.0).sum(axis=(0, 1)))),
        group_ids=group_ids,
        group=group,
        places=places,
    )


def _dispersion_scale(days: Days, flow: Array) -> float:
    """The dispersion, currency per volume unit, at which the own-price elasticity weighted by revenue is about -1.

    A user's own price slope at one of the k providers it uses is -(1 - 1/k) D_i / s: where demands are split, or prices
    differ much, loads answer many times as strongly as s / money tells. Where nobody splits, each counts as if between
    two.
    """
    demand, paid = days.demand[:, :, None], np.broadcast_to(days.paid, flow.shape)
    used = flow > _USED * demand
    others = 1.0 - 1.0 / np.maximum(used.sum(axis=2, keepdims=True), 1)
    answer, revenue = paid**2 * demand * used, float((paid * flow).sum())
    return (float((answer * others).sum()) or float(answer.sum()) / 2.0) / revenue if revenue > 0 else 1.0


def _groups(
    groups: Mapping[str, Sequence[str]], user_ids: Sequence[str], name: str
) -> tuple[tuple[str, ...], NDArray[np.intp]]:
    known = set(user_ids)
    named = [user for users in groups.values() for user in users]
    problems = [f"group: no user is called {user!r}" for user in dict.fromkeys(named) if user not in known]
    problems += [f"group: {user!r} is named twice" for user in dict.fromkeys(named) if named.count(user) > 1]
    if EVERYONE in groups:
        problems.append(f"group: {EVERYONE!r} is the group of those whom no group names; take another name")
    if problems:
        raise ObservationsError(name, problems)
    ids = tuple(groups) if known <= set(named) else (*groups, EVERYONE)
    place = {user: position for position, users in enumerate(groups.values()) for user in users}
    return ids, np.array([place.get(user, len(ids) - 1) for user in user_ids], dtype=np.intp)


def _shared(families: Sequence[str]) -> tuple[str, ...]:
    """Families of two providers or more."""
    return tuple(name for name, size in Counter(families).items() if size > 1)
