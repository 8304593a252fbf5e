"""Build `premium-4-lists` and `crowd`: `python -m benchmarks.list_instances TABLES_DIR`.

`premium-4-lists` is premium-4 with the price lists of its models, and mixes of its apps. No table tells what an app
asks for: it is taken to be what all users of its models ask of these, by the app's flows. One value for each model
makes the loads at today's lists those observed. `crowd` is drawn: a million people in 40 groups of 25,000.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.optimize import root

from benchmarks.real_instances import DIGITS
from benchmarks.real_tables import MIX_DAYS, SPECS, Observed, observe, read_tables
from prillm_or.calibration.openrouter.raw import standard
from prillm_or.files.markets import load, write_market
from prillm_or.market.decisions import all_prices, per_unit
from prillm_or.market.market import Array, Market
from prillm_or.market.synthetic import generate
from prillm_or.users.equilibrium import equilibrium_at
from prillm_or.users.problem import user_problem
from prillm_or.users.slopes import load_slopes

COMPONENTS = ("input", "output", "cached")
CAP = 3.0
"""Largest price of a component, over that of the leader's list."""


def mixes_and_lists(folder: Path, ids: list[str]) -> tuple[Array, Array]:
    """What users of each model ask for in a token, and its list prices, USD per 1e6 tokens, both shape (m, 3)."""
    tables = folder / "openrouter-pricing-data"
    activity = standard(pd.read_csv(tables / "model_activity_daily.csv.gz"))
    activity = activity[activity.date.between(*MIX_DAYS)]
    activity = activity.assign(id=activity.model_slug.str.split("/").str[-1])
    columns = ["total_prompt_tokens", "total_completion_tokens", "total_native_tokens_cached"]
    prompt, completion, cached = activity.groupby("id")[columns].sum().loc[ids].to_numpy(dtype=float).T
    mix = np.column_stack([prompt - cached, completion, cached]) / (prompt + completion)[:, None]
    lists = standard(pd.read_csv(tables / "models_daily.csv.gz")).sort_values("scrape_date")
    lists = lists.assign(short=lists.id.str.split("/").str[-1]).groupby("short").first().loc[ids]
    return mix, lists[["prompt_price", "completion_price", "cache_read_price"]].to_numpy(dtype=float) * 1e6


def premium_lists(folder: Path) -> Market:
    """premium-4 with price lists, its values fitted anew."""
    base, observed = load("premium-4"), observe(read_tables(folder), SPECS[0])
    assert list(base.user_ids) == observed.users
    assert list(base.provider_ids) == observed.providers
    mix, price = mixes_and_lists(folder, observed.providers)
    bill = (mix * price).sum(axis=1)
    market = replace(
        base,
        name="premium-4-lists",
        components=COMPONENTS,
        mix=_rounded(observed.flow @ mix / observed.demand[:, None]),
        price=_rounded(price),
        unit_cost=np.zeros_like(price),
        capacity=_rounded(base.capacity * base.price / bill),  # load x peak / price, as in premium-4
        price_cap=_rounded(CAP * price[base.leader[0]]),
    )
    return _described(_valued(market, observed.load), observed)


def _valued(market: Market, load: Array) -> Market:
    """The market whose values, the least of them 0, make the loads at today's prices those observed."""

    def excess(values: Array) -> Array:
        return equilibrium_at(replace(market, value=np.append(values, 0.0)), market.current).load[:-1] / load[:-1] - 1

    found = root(excess, market.value[:-1] - market.value[-1], tol=1e-10)
    assert np.abs(found.fun).max() < 1e-6, found.message
    values = np.append(found.x, 0.0)
    return replace(market, value=_rounded(values - values.min()))


def _described(market: Market, observed: Observed) -> Market:
    at = equilibrium_at(market, market.current)
    flow = observed.flow
    fit = 1 - ((flow - at.flow) ** 2).sum() / ((flow - flow.mean()) ** 2).sum()
    factor = replace(market, decides="factor", price_cap=np.array([CAP]))
    one = equilibrium_at(factor, [1.0])
    slope = load_slopes(user_problem(factor), one.laplacian)[0, 0] / one.by_decision[0]
    bills = per_unit(market, all_prices(market, market.current))
    mixes = ", ".join(map(_span, market.mix.T))
    text = (
        "An illustrative market: premium-4 with price lists; one snapshot does not identify the best price. Users, "
        "demands, delays and weights of congestion are those of premium-4, see there. OBSERVED: list prices of input, "
        "output and cached input, 2026-07-17 (what was paid, effective prices, is more: writing into caches is billed, "
        "too); prompt, completion and cached tokens per model, 2026-06-17 to 2026-07-06. IMPUTED: no table tells what "
        "an app asks for; its mix is what all users of its models ask of these, weighted by its flows (of input, "
        f"output, cached: {mixes}; of the whole marketplace, 2026-07-21 to 2026-08-02: 0.27, 0.033, 0.70). DERIVED: "
        "capacity = load x peak-to-mean of requests / price, that of the list at the model's own mix. CHOSEN: the "
        f"leader, as in premium-4; it decides the price of each component, up to {CAP:g} times its list; unit cost 0. "
        "FITTED: values (least one 0), so that loads at today's lists come out as observed. R^2 of flows, in sample, "
        f"{fit:.3f}; 1 % more on the whole list of the leader costs {-slope:.2f} % of what it bills; a unit of volume "
        f"comes to {_span(bills)} at today's lists. SOURCES (GitHub repositories): those of premium-4, see there; "
        "token mixes and list prices from sui414/openrouter-pricing-data, commit 83ec0dd32d3c, 2026-08-08. Built "
        "2026-11-28 by benchmarks/list_instances.py."
    )
    return replace(market, description=text)


def crowd() -> Market:
    """A million people in 40 groups of 25,000, who differ in demand, delays, weights and tastes."""
    market = generate(40, 8, "market", 1, dispersion=0.3)
    text = (
        "Synthetic: a million people in 40 groups of 25,000. Drawn by generate(40, 8, 'market', 1, dispersion=0.3), "
        f"then each of the 40 users stands for 25,000 people, and figures have {DIGITS} digits."
    )
    figures = ("demand", "price", "capacity", "value", "delay", "congestion_weight", "dispersion", "price_cap")
    rounded: dict[str, Any] = {name: _rounded(getattr(market, name)) for name in figures}
    return replace(market, name="crowd", description=text, count=np.full(40, 25_000.0), **rounded)


def _span(values: Array) -> str:
    return f"{values.min():.3g} to {values.max():.3g}"


def _rounded(values: Array) -> Array:
    return np.asarray(np.vectorize(lambda number: float(f"{number:.{DIGITS}g}"))(values))


def main() -> None:
    """Build both markets."""
    parser = argparse.ArgumentParser(description="Build premium-4-lists from the raw public tables, and crowd.")
    parser.add_argument("tables", type=Path, help="folder holding the raw tables, one subfolder per source")
    parser.add_argument("--out", type=Path, default=Path("instances"), help="where to write (default: instances)")
    options = parser.parse_args()
    for market in (premium_lists(options.tables), crowd()):
        write_market(market, options.out / f"{market.name}.json")


if __name__ == "__main__":
    main()
