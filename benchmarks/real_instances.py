r"""Build the illustrative real markets from public tables: `python -m benchmarks.real_instances TABLES_DIR`.

Who uses what is observed, what users want is not. Per market the script

1. picks apps (users) and models (providers) and reads their flows, prices, delays and peaks from the tables;
2. fits one value b_j per model and one congestion weight w_i per app: for given weights there is exactly one b with
   which the models' loads come out as observed, found with the flows by a convex transport problem, so that only the
   weights are searched (least squares, many starts), shrunk on a log scale towards a common one, with the
   revenue-weighted own-price elasticity held at a chosen figure;
3. rounds, writes the market, and measures it with the package's own equilibrium.

The transport problem. At an equilibrium with loads X, user i's marginal cost of model j is
c_ij + (w_i / alpha_j) (X_j + f_ij) with c_ij = p_j + w_d d_ij - b_j, the price weight being 1. For given X these are
the optimality conditions of

    min sum_ij f_ij (p_j + w_d d_ij + w_i X_j / alpha_j) + w_i f_ij^2 / (2 alpha_j)
    where row i of f sums to D_i, column j to X_j, and f >= 0;

b_j is the multiplier of column j. Everything is deterministic: the random starts come from one fixed seed.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import least_squares

from prillm_or.files.markets import read_market
from prillm_or.market.market import Market
from prillm_or.users.equilibrium import equilibrium_at, load_slopes, user_problem
from prillm_or.users.laplacian import Laplacian

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

# The snapshot of app x model tokens covers about 30 days (checked against other sources, not documented).
SNAPSHOT_DAYS = 30
# The model's own mix of prompt and completion tokens: the days of the snapshot that the activity table has.
MIX_DAYS = ("2026-06-17", "2026-07-06")
# The four whole weeks before the snapshot rank the coding apps.
RANK_WEEKS = ("2026-06-08", "2026-06-29")
# A ranked coding app that the snapshot hardly lists (Cursor: 0.1) says nothing about choice; 1e9 tokens per day.
LEAST_LISTED_FLOW = 1.0
# Premium and economy models part at a list input price of 1 USD per 1e6 tokens, as in the literature on these markets.
PREMIUM_ABOVE = 1.0
# Peak of the half-hourly request counts: a high quantile, as the maximum is one odd sweep for some models.
PEAK_QUANTILE = 0.98
# USD per second waited; the data do not identify it. 3.6 USD per hour: programs wait, seldom people.
DELAY_WEIGHT = 0.001
# Measured across providers of one model: -1.0 to -1.3. Across models it is not measured: a choice.
ELASTICITY = -1.1
# A user's misfit is divided by its demand to this power: at 0 the largest user (27 to 56 % of the volume) decides
# nearly alone, at 1/2 small users cost premium-4 0.08 of its R^2.
DEMAND_POWER = 0.25
# Shrinkage: an app's weight e times the common one must pay for itself with this much of (weighted) R^2.
SHRINKAGE = 0.02
# Price of missing the elasticity during the search, in R^2 per squared log; a last shift of all weights removes the
# rest.
ELASTICITY_PULL = 1.0
# The fit has local minima; 40 starts take under 10 s a market.
STARTS = 40
SEED = 20261123
DIGITS = 6


@dataclass(frozen=True)
class Spec:
    """What to build: which apps and models, and who leads.

    Parameters
    ----------
    name
        Of the instance and its file.
    topic
        "premium", "economy", "coding" or "roleplay": decides apps and models.
    models
        How many models, largest first.
    leader
        The leader's models.
    reason
        Why this leader, for the description.
    """

    name: str
    topic: str
    models: int
    leader: tuple[str, ...]
    reason: str


BOTH = "one firm owns both models; at the best prices the cap of claude-sonnet-4.6 binds"

SPECS = (
    Spec("premium-4", "premium", 4, ("gpt-5.5",), "one firm serves 80 % of its tokens, one other the rest"),
    Spec("economy-8", "economy", 8, ("minimax-m3",), "one firm serves 95 % of its tokens"),
    Spec("coding-13", "coding", 13, ("step-3.7-flash",), "one firm serves 99 % of its tokens"),
    Spec("roleplay-10", "roleplay", 10, ("gemini-3.1-flash-lite-preview",), "one firm serves all its tokens"),
    Spec("premium-4-two-prices", "premium", 4, ("claude-opus-4.8", "claude-sonnet-4.6"), BOTH),
)

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


@dataclass(frozen=True, eq=False)
class Tables:
    """The raw tables this script reads, standard variant of each model only.

    Parameters
    ----------
    apps
        One row per (app, model): app_id, app_title, app_slug, app_categories, model, flow (1e9 tokens per day),
        requests (1e3 per day).
    models
        Indexed by model: id; effective_price and list_price, both blended, and list_input (USD per 1e6 tokens);
        ttft (s); peak (to mean).
    coding_rank
        App ids of the weekly coding table, largest first.
    peak_default
        Median peak to mean, for models without hourly counts.
    """

    apps: pd.DataFrame
    models: pd.DataFrame
    coding_rank: list[str]
    peak_default: float


@dataclass(frozen=True, eq=False)
class Observed:
    """One market as observed.

    Parameters
    ----------
    users, providers
        Ids.
    flow
        Shape (n, m), 1e9 tokens per day; pairs that are not listed are 0.
    price, list_price, capacity
        Shape (m,).
    delay
        Shape (n, m): seconds waited per 1e6 tokens.
    no_peak
        Models whose peak to mean is the median of other models.
    """

    users: list[str]
    providers: list[str]
    flow: Array
    price: Array
    list_price: Array
    capacity: Array
    delay: Array
    no_peak: list[str]

    @property
    def demand(self) -> Array:
        """Shape (n,)."""
        return np.asarray(self.flow.sum(axis=1))

    @property
    def load(self) -> Array:
        """Shape (m,)."""
        return np.asarray(self.flow.sum(axis=0))


@dataclass(frozen=True, eq=False)
class Fit:
    """Preferences with which the loads come out as observed.

    Parameters
    ----------
    weight
        Shape (n,): congestion weights.
    value
        Shape (m,), least one 0.
    flow
        Shape (n, m): fitted flows.
    """

    weight: Array
    value: Array
    flow: Array


# --------------------------------------------------------------------------------------------------- reading the tables


def read_tables(folder: Path) -> Tables:
    """Read and join the raw tables."""
    pricing, routing = folder / "openrouter-pricing-data", folder / "ai-routing"
    mix = _mix(pd.read_csv(pricing / "model_activity_daily.csv.gz"))
    models = mix.join(_effective_prices(pd.read_csv(routing / "provider_shares_2026-07-07_2026-07-15.csv.gz")))
    models = models.join(_list_prices(pd.read_csv(pricing / "models_daily.csv.gz")))
    models = models.join(_ttft(pd.read_csv(pricing / "endpoints_daily.csv.gz")))
    peak = _peak(pd.read_csv(pricing / "perf_hourly_top60.csv.gz"))
    models = models.join(peak)
    for kind in ("effective", "list"):
        models[f"{kind}_price"] = (1 - models.out) * models[f"{kind}_input"] + models.out * models[f"{kind}_output"]
    weekly = pd.read_csv(folder / "llm-market-data" / "coding_apps_weekly.csv", dtype={"app_id": str})
    return Tables(
        apps=_apps(pd.read_csv(routing / "top_apps_by_model_2026-07-07.csv", dtype={"app_id": str})),
        models=models,
        coding_rank=_coding_rank(weekly),
        peak_default=float(peak.median()),
    )


def _standard(table: pd.DataFrame, model: str = "permaslug") -> pd.DataFrame:
    return table[table.variant == "standard"].rename(columns={model: "model"})


def _apps(table: pd.DataFrame) -> pd.DataFrame:
    rows = _standard(table[table.scope == "model"], "model_permaslug").copy()
    rows["flow"] = rows.total_tokens / (SNAPSHOT_DAYS * 1e9)
    rows["requests"] = rows.total_requests / (SNAPSHOT_DAYS * 1e3)
    return rows[["app_id", "app_title", "app_slug", "app_categories", "model", "flow", "requests"]]


def _mix(table: pd.DataFrame) -> pd.DataFrame:
    rows = _standard(table)
    rows = rows[rows.date.between(*MIX_DAYS)]
    sums = rows.groupby("model")[["total_prompt_tokens", "total_completion_tokens"]].sum()
    short = rows.groupby("model").model_slug.last().str.split("/").str[-1]
    return pd.DataFrame({"id": short, "out": sums.total_completion_tokens / sums.sum(axis=1)})


def _effective_prices(table: pd.DataFrame) -> pd.DataFrame:
    rows = _standard(table, "model_permaslug")
    return pd.DataFrame(
        {
            f"effective_{side}": (rows[f"effective_{side}_price"] * rows.total_tokens).groupby(rows.model).sum()
            / rows.groupby("model").total_tokens.sum()
            for side in ("input", "output")
        }
    )


def _list_prices(table: pd.DataFrame) -> pd.DataFrame:
    first = _standard(table).sort_values("scrape_date").groupby("model").first()
    return pd.DataFrame({"list_input": first.prompt_price * 1e6, "list_output": first.completion_price * 1e6})


def _ttft(table: pd.DataFrame) -> pd.Series:
    """Median over endpoints and days of the median time to first token, each counted by its requests."""
    rows = _standard(table)
    rows = rows[(rows.request_count > 0) & rows.p50_latency.notna()].sort_values("p50_latency")
    share = rows.groupby("model").request_count.cumsum() / rows.groupby("model").request_count.transform("sum")
    return rows[share >= 0.5].groupby("model").p50_latency.first().rename("ttft") / 1e3


def _peak(table: pd.DataFrame) -> pd.Series:
    sweeps = table.groupby(["permaslug", "scraped_at"]).request_count.sum().groupby("permaslug")
    mean = sweeps.mean()
    peak = sweeps.quantile(PEAK_QUANTILE)[mean > 0] / mean[mean > 0]
    return peak.rename("peak").rename_axis("model")


def _coding_rank(table: pd.DataFrame) -> list[str]:
    rows = table[table.week_start.between(*RANK_WEEKS) & (table.app_title != "Others")]
    return list(rows.groupby("app_id").total_tokens.sum().sort_values(ascending=False).index)


# --------------------------------------------------------------------------------------------------- picking the market


def observe(tables: Tables, spec: Spec) -> Observed:
    """Pick the apps and models of `spec` and what is observed of them."""
    rows = _rows(tables, spec.topic)
    largest = rows.groupby("model").flow.sum().sort_values(ascending=False).index[: spec.models]
    rows = rows[rows.model.isin(largest)]
    flow = rows.pivot_table(index="app_id", columns="model", values="flow", aggfunc="sum", fill_value=0.0)
    flow = flow.loc[flow.sum(axis=1).sort_values(ascending=False).index, largest]
    models = tables.models.loc[largest]
    no_peak = models.id[models.peak.isna()]
    peak = models.peak.fillna(tables.peak_default).to_numpy()
    sums = rows.groupby("app_id")[["requests", "flow"]].sum().loc[flow.index]
    per_million = (sums.requests / sums.flow).to_numpy()  # 1e3 requests per 1e9 tokens = requests per 1e6 tokens
    price = models.effective_price.to_numpy()
    return Observed(
        users=_user_ids(rows, list(flow.index)),
        providers=list(models.id),
        flow=flow.to_numpy(),
        price=price,
        list_price=models.list_price.to_numpy(),
        # Divided by the price, so that congestion is utilisation x price and its weight a pure number of order 1.
        capacity=flow.sum().to_numpy() * peak / price,
        delay=np.multiply.outer(per_million, models.ttft.to_numpy()),
        no_peak=list(no_peak),
    )


def _rows(tables: Tables, topic: str) -> pd.DataFrame:
    apps = tables.apps
    if topic in ("premium", "economy"):
        list_input = apps.model.map(tables.models.list_input)
        return apps[list_input > PREMIUM_ABOVE if topic == "premium" else list_input <= PREMIUM_ABOVE]
    if topic == "roleplay":
        rows = apps[apps.app_categories.str.contains("roleplay", na=False)]
        return rows[rows.groupby("app_id").model.transform("nunique") >= 2]
    listed = apps.groupby("app_id").flow.sum()
    largest = [app for app in tables.coding_rank if listed.get(app, 0.0) >= LEAST_LISTED_FLOW][:8]
    return apps[apps.app_id.isin(largest)]


def _user_ids(rows: pd.DataFrame, app_ids: list[str]) -> list[str]:
    first = rows.groupby("app_id")[["app_slug", "app_title"]].first().loc[app_ids]
    names = first.app_slug.where(first.app_slug.notna(), first.app_title)
    return [re.sub(r"[^a-z0-9]+", "-", name.lower().replace("'", "")).strip("-") for name in names]


# -------------------------------------------------------------------------------------------------- fitting preferences


def transport(observed: Observed, weight: Array) -> tuple[Array, Array]:
    """Find flows and multipliers (users, then models) for given weights, by Newton steps on the transport dual."""
    demand, load, capacity = observed.demand, observed.load, observed.capacity
    n = len(demand)
    cost = observed.price + DELAY_WEIGHT * observed.delay + weight[:, None] * load / capacity
    rate = capacity / weight[:, None]
    sums = np.concatenate([demand, load])

    def flows(dual: Array) -> Array:
        return np.asarray(rate * np.maximum(dual[:n, None] + dual[n:] - cost, 0.0))

    def height(dual: Array) -> float:
        return float(sums @ dual - 0.5 * (flows(dual) ** 2 / rate).sum())

    dual = np.concatenate([cost.max(axis=1), np.zeros_like(load)])
    for _ in range(500):
        flow = flows(dual)
        residual = sums - np.concatenate([flow.sum(axis=1), flow.sum(axis=0)])
        if np.abs(residual).max() <= 1e-12 * sums.max():
            break
        step = _laplacian_solve(rate, flow > 0, residual)
        length, here, rise = 1.0, height(dual), float(residual @ step)
        while length > 1e-10 and height(dual + length * step) < here + 1e-4 * length * rise - 1e-13 * abs(here):
            length /= 2
        dual = dual + length * step
    return flows(dual), dual


def _laplacian_solve(rate: Array, support: Mask, right: Array) -> Array:
    """Solve for a change of the multipliers on a support; the ridge picks one where a shift changes nothing."""
    edge = np.where(support, rate, 0.0)
    n = len(edge)
    matrix = np.zeros((len(right), len(right)))
    matrix[:n, n:] = edge
    matrix += matrix.T
    matrix += np.diag(matrix.sum(axis=1) + 1e-10 * rate.max())
    return np.asarray(np.linalg.solve(matrix, right), dtype=np.float64)


def sensitivity(observed: Observed, weight: Array, flow: Array) -> Array:
    """Differentiate the transport flows by the log of each weight, shape (n, m, n), on the current support."""
    n, support = len(weight), flow > 0
    rate = observed.capacity / weight[:, None]
    direct = np.where(support, -flow - observed.load, 0.0)
    change = np.zeros((*flow.shape, n))
    for i in range(n):
        right = np.zeros(sum(flow.shape))
        right[i], right[n:] = -direct[i].sum(), -direct[i]
        dual = _laplacian_solve(rate, support, right)
        change[:, :, i] = np.where(support, rate * (dual[:n, None] + dual[n:]), 0.0)
        change[i, :, i] += direct[i]
    return change


def elasticity(observed: Observed, weight: Array, support: Mask) -> float:
    """Own-price elasticity of the models' loads, averaged by revenue: sum p_j^2 dx_j/dp_j / sum p_j x_j."""
    slopes = _slopes(observed, weight, support)
    return float(observed.price**2 @ slopes / (observed.price @ observed.load))


def _slopes(observed: Observed, weight: Array, support: Mask) -> Array:
    """Differentiate each load by its own price, shape (m,), on a support: values and delays do not enter."""
    n, m = observed.flow.shape
    market = Market(
        name="slopes",
        user_ids=tuple(observed.users),
        provider_ids=tuple(observed.providers),
        demand=observed.demand,
        price=observed.price,
        capacity=observed.capacity,
        value=np.zeros(m),
        unit_cost=np.zeros(m),
        delay=np.zeros((n, m)),
        price_weight=np.ones(n),
        congestion_weight=weight,
        delay_weight=np.zeros(n),
        leader=(0,),
        price_cap=observed.list_price[:1],
    )
    everyone = replace(user_problem(market), leader=tuple(range(m)))
    return np.diag(load_slopes(everyone, Laplacian(support, observed.capacity)))


def fit(observed: Observed) -> Fit:
    """Search the weights from many starts and keep the best."""
    residual, jacobian = _least_squares(observed)
    n, random = len(observed.users), np.random.default_rng(SEED)
    best, cost = np.zeros(n), np.inf
    for k in range(STARTS):
        start = 0.4 + (0.0 if k == 0 else 0.5) * random.standard_normal(n)
        found = least_squares(residual, start, jacobian, x_scale=1.0, max_nfev=100)
        if found.cost < cost:
            best, cost = found.x, found.cost
    weight = np.exp(best + _shift(observed, best))
    flow, dual = transport(observed, weight)
    value = dual[len(weight) :]
    return Fit(weight, value - value.min(), flow)


def _least_squares(observed: Observed) -> tuple[Callable[[Array], Array], Callable[[Array], Array]]:
    """Residuals and their derivative by the log weights: flows in units of R^2, shrinkage, elasticity."""
    unit = observed.demand[:, None] ** DEMAND_POWER
    unit = unit * np.sqrt((((observed.flow - observed.flow.mean()) / unit) ** 2).sum())
    centre = np.sqrt(SHRINKAGE) * (np.eye(len(observed.users)) - 1 / len(observed.users))
    pull = np.sqrt(ELASTICITY_PULL)

    def residual(log_weight: Array) -> Array:
        flow, _ = transport(observed, np.exp(log_weight))
        miss = np.log(elasticity(observed, np.exp(log_weight), flow > 0) / ELASTICITY)
        return np.concatenate([((flow - observed.flow) / unit).ravel(), centre @ log_weight, [pull * miss]])

    def jacobian(log_weight: Array) -> Array:
        flow, _ = transport(observed, np.exp(log_weight))
        change = sensitivity(observed, np.exp(log_weight), flow) / unit[:, :, None]
        return np.vstack(
            [change.reshape(flow.size, -1), centre, pull * _elasticity_slope(observed, log_weight, flow > 0)]
        )

    return residual, jacobian


def _elasticity_slope(observed: Observed, log_weight: Array, support: Mask, step: float = 1e-5) -> Array:
    def log_elasticity(at: Array) -> float:
        return float(np.log(-elasticity(observed, np.exp(at), support)))

    here = log_elasticity(log_weight)
    return np.array([(log_elasticity(log_weight + step * row) - here) / step for row in np.eye(len(log_weight))])


def _shift(observed: Observed, log_weight: Array) -> float:
    """Find the common factor (its logarithm) that brings the elasticity to `ELASTICITY`, by bisection."""

    def elastic(shift: float) -> bool:
        weight = np.exp(log_weight + shift)
        return elasticity(observed, weight, transport(observed, weight)[0] > 0) < ELASTICITY

    low, high = -1.0, 1.0
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if elastic(middle) else (low, middle)
    return (low + high) / 2


# ------------------------------------------------------------------------------------------------ writing and measuring


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
