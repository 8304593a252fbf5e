"""Build the illustrative real markets from public tables: `python -m benchmarks.real_instances TABLES_DIR`.

Who uses what is observed, what users want is not. Per market the script

1. picks apps (users) and models (providers) and reads their flows, prices, delays and peaks from the tables;
2. fits one value b_j per model and one congestion weight w_i per app: for given weights there is exactly one b with
   which the models' loads come out as observed, found with the flows by a convex transport problem, so that only the
   weights are searched (least squares, many starts), shrunk on a log scale towards a common one, with the
   revenue-weighted own-price elasticity held at a chosen figure;
3. rounds, writes the market, and measures it with the package's own equilibrium.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.real_fit import DELAY_WEIGHT, ELASTICITY, SHRINKAGE, Fit, elasticity, fit
from benchmarks.real_tables import SPECS, Observed, Spec, observe, read_tables
from prillm_or.calibration.openrouter.apps import PEAK_QUANTILE
from prillm_or.files.markets import read_market
from prillm_or.market.market import Array, Market
from prillm_or.users.equilibrium import equilibrium_at

DIGITS = 6
USERS = {
    "premium": "all public apps listed for the four models with most listed tokens among those with a list input "
    "price above 1 USD per 1e6 tokens",
    "economy": "all public apps listed for the eight models with most listed tokens among those with a list input "
    "price of at most 1 USD per 1e6 tokens",
    "coding": "the eight largest apps of the weekly coding table in the four weeks from 2026-06-08, of those with at "
    "least 1e9 listed tokens per day; models: the thirteen they use most",
    "roleplay": "apps of the category roleplay listed for two models or more that use one of the ten models which such "
    "apps use most",
}


def _rounded(number: float) -> float:
    return float(f"{number:.{DIGITS}g}")


def _cap(observed: Observed, spec: Spec) -> float | dict[str, float]:
    caps = {j: _rounded(observed.list_price[observed.providers.index(j)]) for j in spec.leader}
    return caps if len(caps) > 1 else next(iter(caps.values()))


def document(observed: Observed, preferences: Fit, spec: Spec) -> dict[str, Any]:
    """Lay out the content of the instance file, rounded, the description still empty."""
    users = [
        {"id": i, "demand": _rounded(demand), "weights": {"congestion": _rounded(weight)}}
        for i, demand, weight in zip(observed.users, observed.demand, preferences.weight, strict=True)
    ]
    columns = (observed.providers, observed.price, observed.capacity, preferences.value)
    providers = [
        {"id": j, "price": _rounded(price), "capacity": _rounded(capacity), "value": _rounded(value)}
        for j, price, capacity, value in zip(*columns, strict=True)
    ]
    return {
        "format": "prillm-or/market@1",
        "name": spec.name,
        "description": "",
        "units": {"currency": "1000 USD", "volume": "1e9 tokens", "delay": "s per 1e6 tokens", "period": "day"},
        "weights": {"price": 1.0, "congestion": 1.0, "delay": DELAY_WEIGHT},
        "leader": {"providers": list(spec.leader), "price_cap": _cap(observed, spec)},
        "users": users,
        "providers": providers,
        "delays": [[_rounded(d) for d in row] for row in observed.delay],
    }


def measure(observed: Observed, market: Market) -> dict[str, float]:
    """Figures of the fit, from the equilibrium of the market as written at today's prices."""
    at = equilibrium_at(market, market.price[list(market.leader)])
    share, total = observed.load / observed.load.sum(), observed.demand[:, None]
    ratio = market.congestion_weight / market.price_weight
    return {
        "users": market.n,
        "models": market.m,
        "volume": float(observed.flow.sum()),
        "R2": _r2(observed.flow, at.flow),
        "R2 less largest": _r2(observed.flow[1:], at.flow[1:]),  # users come largest first
        "R2 shares": _r2(observed.flow / total, at.flow / total),
        "R2 indep.": _r2(observed.flow, total * share),
        "elasticity": elasticity(observed, market.congestion_weight, at.support),
        "load mismatch": float(np.abs(at.load / observed.load - 1).max()),
        "weight min": float(ratio.min()),
        "weight max": float(ratio.max()),
        "concavity": float(ratio.sum() * (1 / ratio).sum() / (market.n + 2) ** 2),
        "active": float(at.support.mean()),
    }


def _r2(observed: Array, fitted: Array) -> float:
    return float(1 - ((observed - fitted) ** 2).sum() / ((observed - observed.mean()) ** 2).sum())


def describe(observed: Observed, spec: Spec, figures: dict[str, float]) -> str:
    """Say what is observed, derived, chosen, fitted; from where and when."""
    shown = {name: f"{figure:.3f}" for name, figure in figures.items()}
    peaks = f" (no counts for {', '.join(observed.no_peak)}: median of the other models)" if observed.no_peak else ""
    weekly = "; pickmiu/llm-market-data, commit 078000d8d905 (weekly coding apps)" if spec.topic == "coding" else ""
    return (
        "An illustrative market: one snapshot does not identify the best price. "
        f"Users: {USERS[spec.topic]}. Standard variants only. A pair that the snapshot does not list (it lists about "
        "five public apps per model, a quarter of all tokens) is unknown, at most the fifth app's flow, and taken as "
        "zero. OBSERVED: tokens and requests per app and model, about 30 days to 2026-07-07; effective input and "
        "output prices 2026-07-07 to 2026-07-15, weighted by tokens; prompt and completion tokens per model, "
        "2026-06-17 to 2026-07-06; time to first token per endpoint, 2026-07-17 to 2026-08-02; half-hourly request "
        "counts, 2026-07-20 to 2026-08-02; list prices, 2026-07-17. "
        "DERIVED: demand = listed tokens / 30; price = effective prices blended at the model's own mix; delay = median "
        "time to first token x the app's requests per 1e6 tokens, in seconds per 1e6 tokens; capacity = load x "
        f"peak-to-mean of requests ({PEAK_QUANTILE:.0%} quantile / mean){peaks} / price. "
        f"CHOSEN: delay weight {DELAY_WEIGHT} USD per second; revenue-weighted own-price elasticity {ELASTICITY} "
        f"(reached: {shown['elasticity']}); the leader ({spec.reason}); price cap = uncached list price at its own "
        "mix; unit cost 0. FITTED: values (least one 0; only differences matter) and one congestion weight per user, "
        f"shrunk on a log scale towards a common one (penalty {SHRINKAGE} of R^2 per squared log unit); loads match "
        f"the observed ones within {figures['load mismatch']:.1e} (relative, after rounding). R^2 of flows "
        f"{shown['R2']}, without the largest user {shown['R2 less largest']}, of users' shares {shown['R2 shares']}; "
        f"demand x market share alone gives {shown['R2 indep.']} of flows. In sample, one snapshot: no proof of "
        "the model. SOURCES (GitHub repositories): pluriholonomic/ai-routing, commit bbfb89916660, 2026-07-23 (apps, "
        "effective prices); sui414/openrouter-pricing-data, commit 83ec0dd32d3c, 2026-08-08 (token mix, endpoints, "
        f"counts, list prices){weekly}; all scraped from OpenRouter's public pages. Built 2026-11-23 by "
        "instances/build_real.py."
    )


def write(path: Path, content: dict[str, Any]) -> None:
    """Write JSON with one user, provider or row of delays per line."""
    lines = []
    for key, part in content.items():
        if isinstance(part, list):
            inner = ",\n".join(f"    {json.dumps(item)}" for item in part)
            lines.append(f"  {json.dumps(key)}: [\n{inner}\n  ]")
        else:
            lines.append(f"  {json.dumps(key)}: {json.dumps(part, ensure_ascii=False)}")
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def main() -> None:
    """Build every market and print the figures."""
    parser = argparse.ArgumentParser(description="Build the illustrative real markets from the raw public tables.")
    parser.add_argument("tables", type=Path, help="folder holding the raw tables, one subfolder per source")
    parser.add_argument("--out", type=Path, default=Path("instances"), help="where to write (default: instances)")
    options = parser.parse_args()
    tables = read_tables(options.tables)
    rows, fits = {}, {}
    for spec in SPECS:
        observed = observe(tables, spec)
        if spec.topic not in fits:
            fits[spec.topic] = fit(observed)
        path = options.out / f"{spec.name}.json"
        content = document(observed, fits[spec.topic], spec)
        write(path, content)
        rows[spec.name] = measure(observed, read_market(path).market)
        write(path, content | {"description": describe(observed, spec, rows[spec.name])})
    print(pd.DataFrame(rows).T.to_string(float_format=lambda figure: f"{figure:.4g}"))


if __name__ == "__main__":
    main()
