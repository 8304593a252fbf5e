"""Random markets as they are sold: price lists, mixes, crowds, tastes, own values, with and without congestion."""

from __future__ import annotations

from typing import Any

import numpy as np

from prillm_or.market.market import Market

COMPONENTS = ("input", "output", "cached")


def sold(
    seed: int,
    n: int | None = None,
    m: int | None = None,
    *,
    leaders: int = 1,
    decides: str | tuple[str, ...] | None = None,
    congested: bool | None = None,
    own_weights: bool | None = None,
) -> Market:
    """A market drawn by `seed`; whatever is None is drawn, too. `decides` "plain" is a market without components."""
    rng = np.random.default_rng([20260728, seed])
    n, m = n or int(rng.integers(2, 9)), m or int(rng.integers(max(3, leaders + 1), 7))
    congested = bool(rng.random() < 0.75) if congested is None else congested
    own_weights = bool(rng.random() < 0.4) if own_weights is None else own_weights
    kinds: tuple[str | tuple[str, ...], ...] = ("plain", "factor", ("output",), ("cached",))
    decided = kinds[rng.integers(4)] if decides is None else decides
    c = 0 if decided == "plain" else int(rng.integers(2, 4))
    names = COMPONENTS[:c]
    if isinstance(decided, tuple) and not set(decided) <= set(names):
        decided = (names[-1],)
    shape = (m, c) if c else (m,)
    crowds, tastes = rng.random() < 0.5, not congested or rng.random() < 0.5
    mix = rng.lognormal(0.0, 1.0, (n, c)) * (rng.random((n, c)) < 0.8)
    mix[~mix.any(axis=1)] = 1.0
    cap = 6.0 if decided in ("plain", "factor") else 10.0
    decisions = leaders * (c if decided == "components" else len(decided) if isinstance(decided, tuple) else 1)
    price = rng.uniform(0.5, 3.0, shape)
    values = np.where(rng.random((n, m)) < 0.3, rng.uniform(0.0, 3.0, (n, m)), np.nan)
    return Market(
        name=f"sold-{seed}",
        user_ids=tuple(f"u{i + 1}" for i in range(n)),
        provider_ids=tuple(f"p{j + 1}" for j in range(m)),
        demand=rng.lognormal(1.0, 0.7, n),
        price=price,
        unit_cost=price * rng.uniform(0.0, 0.6, shape),
        capacity=rng.uniform(2.0, 20.0, m),
        value=rng.uniform(0.0, 2.0, m),
        user_values=values if rng.random() < 0.3 else np.empty((0, 0)),
        delay=rng.uniform(0.0, 2.0, (n, m)),
        price_weight=rng.lognormal(0.0, 0.5, n) if own_weights else np.ones(n),
        congestion_weight=np.zeros(n) if not congested else rng.lognormal(0.0, 0.5, n) if own_weights else np.ones(n),
        count=rng.integers(1, 50, n).astype(float) if crowds else np.ones(n),
        dispersion=rng.lognormal(0.0, 0.7, n) if tastes else np.zeros(n),
        provider_dispersion=rng.uniform(0.5, 2.0, m) if tastes else np.ones(m),
        components=names,
        mix=mix if c else np.empty((n, 0)),
        leader=tuple(range(leaders)),
        decides="components" if decided == "plain" else decided,
        price_cap=np.full(decisions, cap),
    )


def price_list(**fields: Any) -> Market:
    """One user who pays `own` its input price plus half its output price, P, and has (7 - P) / 2 units of volume there.

    It asks for 1 of input and 1/2 of output; the rival's unit comes to 3, both marginal costs rise by 1 for each unit,
    and its demand is 4: P + x = 3 + (4 - x). Today's list is 1 and 2, so P = 2 and x = 2.5; a unit costs `own` 0.5.
    """
    defaults: dict[str, Any] = {
        "name": "price-list",
        "user_ids": ("u",),
        "provider_ids": ("own", "rival"),
        "components": ("input", "output"),
        "mix": [[1.0, 0.5]],
        "demand": [4.0],
        "price": [[1.0, 2.0], [2.0, 2.0]],
        "unit_cost": [[0.25, 0.5], [0.0, 0.0]],
        "capacity": [2.0, 2.0],
        "value": [0.0, 0.0],
        "delay": [[0.0, 0.0]],
        "leader": ("own",),
        "price_cap": np.full(2 if fields.get("decides", "components") == "components" else 1, 10.0),
    }
    return Market(**defaults | fields)
