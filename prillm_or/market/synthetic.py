"""Synthetic markets: three shapes, and delays over a random network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from prillm_or.errors import ArgumentError, argument, check_count, check_number
from prillm_or.market.market import Array, Market, Units

Shape = Literal["uniform", "heavy", "market"]
Latency = Literal["network"]

_CAP = 12.0
_MOST, _LINE = 2**27, 16
"""Delays that fill the largest file that is read, and how many take the place of a user's or a provider's line."""
_DELAY_WEIGHT = 0.001
_UNITS = Units("1000 USD", "1e9 tokens", "s per 1e6 tokens", "day")
_REGIONS = 32
_TRIPS, _SECONDS_PER_SIDE = 3, 0.2


def generate(
    users: int,
    providers: int,
    shape: Shape = "uniform",
    seed: int = 0,
    latency: Latency | None = None,
    *,
    components: Sequence[str] = (),
    people: int | None = None,
    dispersion: float = 0.0,
    congestion: bool = True,
) -> Market:
    """Draw a market; the same arguments give the same market.

    Parameters
    ----------
    users, providers
        At least 1 and 2. Users are u1, u2, ..., providers p1, p2, ..., and the last provider leads.
    shape
        `uniform` and `heavy` (lognormal) markets are made for tests, and are hard now and then; see `_plain`.
        `market` imitates the real instances; see `_market`.
    seed
        Of numpy's default generator, >= 0.
    latency
        `network` puts the delays of `latency_network` in place of the drawn ones and leaves all else as it is.
    components
        Names of what is billed apart: mixes and price lists are drawn in place of the prices; see `_with_components`.
    people
        How many the users stand for together, at least one each, in lognormal shares (sigma 1.5).
    dispersion
        The median of the users' dispersions, currency per volume unit: lognormal, sigma 0.5.
    congestion
        Without it weights of congestion are 0, which needs a dispersion.

    Each of these four leaves all other draws as they are.

    Raises
    ------
    ArgumentError
        When a size is too small, the seed negative, the shape or latency unknown, a component has no name, there are
        fewer people than users, or neither congestion nor dispersion.
    MarketError
        When the names of components are no such names.
    """
    _refuse_bad_sizes(users, providers, seed)
    _refuse_bad_extras(users, components, people, dispersion, congestion)
    if latency not in (None, "network"):
        raise ArgumentError(f"{argument('latency')}: expected network, got {latency!r}")
    waits = None if latency is None else latency_network(users, providers, seed)
    rng = np.random.default_rng(seed)
    if shape in ("uniform", "heavy"):
        market = _plain(users, providers, shape == "heavy", rng)
        market = market if waits is None else replace(market, delay=waits)
    elif shape == "market":
        market = _market(users, providers, waits, rng)
    else:
        raise ArgumentError(f"{argument('shape')}: expected uniform, heavy or market, got {shape!r}")
    made = f"shape {shape}, {users} users, {providers} providers, seed {seed}"
    made += "" if latency is None else f", latency {latency}"
    name = f"{shape}-{users}x{providers}-{seed}" + ("" if latency is None else f"-{latency}")
    extras = {"lists": components, "people": people, "tastes": dispersion, "roomy": not congestion}
    market = replace(market, name="-".join([name, *(extra for extra, asked in extras.items() if asked)]))
    # Streams of their own: choosing one changes no other draw of the market.
    if components:
        made += f", components {' '.join(components)}"
        market = _with_components(market, tuple(components), np.random.default_rng([seed, 2]))
    if people is not None:
        made += f", {people} people"
        market = replace(market, count=_crowds(users, people, np.random.default_rng([seed, 3])))
    if dispersion:
        made += f", dispersion {dispersion:g}"
        market = replace(market, dispersion=_lognormal(dispersion, 0.5, users, np.random.default_rng([seed, 4])))
    if not congestion:
        made += ", no congestion"
        market = replace(market, congestion_weight=np.zeros(users))
    return replace(market, description=f"Synthetic: {made}.")


def latency_network(users: int, providers: int, seed: int) -> Array:
    """Delays in seconds, shape (users, providers), over a random geometric network of regions.

    Regions are random points of a square, joined when closer than a radius, the smallest of a growing sequence that
    leaves none cut off; each user and each provider sits in a random region. A delay is the provider's base time to
    first token (lognormal, median 1.2 s, sigma 0.75, as in the real tables) plus 3 round trips along the shortest path
    at 0.2 s per side of the square, about the pace of light in fibre around the Earth.

    Raises
    ------
    ArgumentError
        When a size is too small or the seed negative.
    """
    _refuse_bad_sizes(users, providers, seed)
    # A stream of its own: choosing the network changes no other draw of the market.
    rng = np.random.default_rng([seed, 1])
    distance = _region_distances(rng.random((_REGIONS, 2)))
    base = np.exp(rng.normal(np.log(1.2), 0.75, providers))
    homes, sites = rng.integers(_REGIONS, size=users), rng.integers(_REGIONS, size=providers)
    return base + _TRIPS * _SECONDS_PER_SIDE * distance[np.ix_(homes, sites)]


def _region_distances(points: Array) -> Array:
    """Lengths of the shortest paths between all points, in sides of the square."""
    import networkx as nx

    straight = np.hypot(*(points[:, None, :] - points[None, :, :]).T)
    radius = 0.2
    # Zero means no edge to networkx; distinct points are never at distance zero.
    while not nx.is_connected(graph := nx.from_numpy_array(np.where(straight <= radius, straight, 0.0))):
        radius *= 1.1
    return np.asarray(nx.floyd_warshall_numpy(graph), dtype=np.float64)


def _refuse_bad_sizes(users: int, providers: int, seed: int) -> None:
    for name, given, least in (("users", users, 1), ("providers", providers, 2), ("seed", seed, 0)):
        check_count(name, given, least)
    if users * providers + _LINE * (users + providers) > _MOST:
        asked = f"{argument('users')}, {argument('providers')}"
        raise ArgumentError(f"{asked}: such a market fills more than 1 GiB, the most that is read of a file")


def _refuse_bad_extras(
    users: int, components: Sequence[str], people: int | None, dispersion: float, congestion: bool
) -> None:
    if isinstance(components, str) or not all(components):
        raise ArgumentError(f"{argument('components')}: expected names, got {components!r}")
    if people is not None:
        check_count("people", people, users)
    check_number("dispersion", dispersion)
    if not congestion and not dispersion:
        raise ArgumentError(f"{argument('congestion')}: without it a {argument('dispersion')} > 0 has to spread users")


def _with_components(market: Market, components: tuple[str, ...], rng: np.random.Generator) -> Market:
    """The market with price lists that come to its prices at the mean mix, and mixes that sum to 1.

    In the order drawn: mixes, exp N(0, 1) in proportion; how dear components are, exp N(0, 1), and what providers make
    of that, exp N(0, 0.3). The caps of the leader's components are its cap in the proportions of its own list.
    """
    n, m, c = market.n, market.m, len(components)
    mix = np.exp(rng.standard_normal((n, c)))
    mix /= mix.sum(axis=1, keepdims=True)
    ratio = np.exp(rng.standard_normal(c)) * np.exp(0.3 * rng.standard_normal((m, c)))
    ratio /= (ratio @ (market.demand @ mix / market.demand.sum()))[:, None]
    return replace(
        market,
        components=components,
        mix=mix,
        price=market.price[:, None] * ratio,
        unit_cost=np.zeros((m, c)),
        price_cap=market.price_cap[0] * ratio[market.leader[0]],
    )


def _crowds(users: int, people: int, rng: np.random.Generator) -> Array:
    """How many each user stands for, shape (users,): whole numbers >= 1 that sum to `people`."""
    shares = _lognormal(1.0, 1.5, users, rng)
    ends = np.round(np.cumsum(shares) / shares.sum() * (people - users))
    return np.asarray(1.0 + np.diff(ends, prepend=0.0))


def _lognormal(median: float, sigma: float, size: int, rng: np.random.Generator) -> Array:
    return np.asarray(median * np.exp(sigma * rng.standard_normal(size)))


def _plain(n: int, m: int, heavy: bool, rng: np.random.Generator) -> Market:
    """Shapes `uniform` and `heavy`, drawn in the order D, p, a, d, b.

    `uniform`: D ~ U[5, 100], p ~ U[0.2, 5], a ~ U[0.5, 2]; `heavy`: D ~ exp N(2, 1.3), p ~ exp N(0.3, 1),
    a ~ exp N(0, 1). Both: alpha = a / sum a * sum D / 1.5, d ~ U[0.2, 3], b = 0.7 p + U[0, 2] less its minimum, price
    cap 12.
    """
    if heavy:
        demand, price, size = (
            np.exp(rng.normal(mean, sigma, length)) for mean, sigma, length in ((2, 1.3, n), (0.3, 1, m), (0, 1, m))
        )
    else:
        demand, price, size = (
            rng.uniform(low, high, length) for low, high, length in ((5, 100, n), (0.2, 5, m), (0.5, 2, m))
        )
    capacity = size / size.sum() * demand.sum() / 1.5
    delay = rng.uniform(0.2, 3, (n, m))
    value = 0.7 * price + rng.uniform(0, 2, m)
    return _assemble(demand, price, capacity, value, delay, _CAP)


def _market(n: int, m: int, waits: Array | None, rng: np.random.Generator) -> Market:
    """Shape `market`, after the marketplace tables behind the real instances; all draws lognormal (median, sigma).

    Units as in those instances: 1e9 tokens per day, 1000 USD per 1e9 tokens (= USD per 1e6), seconds waited per 1e6
    tokens. In the order drawn:

    * demand (21, 1.4);
    * effective price (0.30, 1.25), and its ratio to the list price (0.78, 0.56), at most 1; the leader's cap is its
      list price, so that it never lies below today's price;
    * time to first token (1.2 s, 0.45), its logarithm correlated 0.37 with that of the price;
    * requests per 1e6 tokens (59, 0.6), correlated -0.32 with the demand. A delay is their product with the time to
      first token, with weight 0.001 USD per second;
    * usual load (48, 1.2), scaled so that loads add up to the demands, and hourly peak over mean (1.95, 0.33), at
      least 1: alpha = load * peak / price, so that congestion is utilisation times price;
    * weight of congestion by user (1.5, 0.32);
    * values 1.8 p plus normal noise of 0.12 times the mean price, less the smallest.

    The sigmas of the two parts of the delay are those within one real market, about half of the pooled ones. About
    half of the pairs are active at today's price, against 54 to 75 % in the real markets, whose values are fitted.
    """

    def lognormal(median: float, sigma: float, normal: Array) -> Array:
        return np.asarray(median * np.exp(sigma * normal))

    demand_normal, price_normal = rng.standard_normal(n), rng.standard_normal(m)
    demand, price = lognormal(21, 1.4, demand_normal), lognormal(0.30, 1.25, price_normal)
    list_price = price / np.minimum(lognormal(0.78, 0.56, rng.standard_normal(m)), 1.0)
    first_token = lognormal(1.2, 0.45, _correlated(price_normal, 0.37, rng))
    requests = lognormal(59, 0.6, _correlated(demand_normal, -0.32, rng))
    load = lognormal(48, 1.2, rng.standard_normal(m))
    peak = np.maximum(lognormal(1.95, 0.33, rng.standard_normal(m)), 1.0)
    congestion = lognormal(1.5, 0.32, rng.standard_normal(n))
    value = 1.8 * price + rng.normal(0.0, 0.12 * price.mean(), m)
    capacity = load / load.sum() * demand.sum() * peak / price
    delay = requests[:, None] * (first_token if waits is None else waits)
    market = _assemble(demand, price, capacity, value, delay, list_price[-1])
    return replace(market, congestion_weight=congestion, delay_weight=np.full(n, _DELAY_WEIGHT), units=_UNITS)


def _correlated(normal: Array, correlation: float, rng: np.random.Generator) -> Array:
    other = rng.standard_normal(normal.size)
    return np.asarray(correlation * normal + np.sqrt(1 - correlation**2) * other)


def _assemble(demand: Array, price: Array, capacity: Array, value: Array, delay: Array, cap: float) -> Market:
    n, m = delay.shape
    return Market(
        name="",
        user_ids=tuple(f"u{i + 1}" for i in range(n)),
        provider_ids=tuple(f"p{j + 1}" for j in range(m)),
        demand=demand,
        price=price,
        capacity=capacity,
        value=value - value.min(),
        unit_cost=np.zeros(m),
        delay=delay,
        price_weight=np.ones(n),
        congestion_weight=np.ones(n),
        delay_weight=np.ones(n),
        leader=(m - 1,),
        price_cap=np.array([cap]),
    )
