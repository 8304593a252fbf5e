"""What is observed of the illustrative real markets: raw tables joined, then the apps and models of each market."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from prillm_or.calibration.openrouter.apps import (
    CODING_APPS,
    LEAST_LISTED_FLOW,
    PEAK_QUANTILE,
    PREMIUM_ABOVE,
    SNAPSHOT_DAYS,
)
from prillm_or.calibration.openrouter.raw import standard
from prillm_or.market.market import Array

# The model's own mix of prompt and completion tokens: the days of the snapshot that the activity table has.
MIX_DAYS = ("2026-06-17", "2026-07-06")
# The four whole weeks before the snapshot rank the coding apps.
RANK_WEEKS = ("2026-06-08", "2026-06-29")


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


@dataclass(frozen=True, eq=False)
class Tables:
    """The raw tables as read, standard variant of each model only.

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


def _apps(table: pd.DataFrame) -> pd.DataFrame:
    rows = standard(table[table.scope == "model"], "model_permaslug").copy()
    rows["flow"] = rows.total_tokens / (SNAPSHOT_DAYS * 1e9)
    rows["requests"] = rows.total_requests / (SNAPSHOT_DAYS * 1e3)
    return rows[["app_id", "app_title", "app_slug", "app_categories", "model", "flow", "requests"]]


def _mix(table: pd.DataFrame) -> pd.DataFrame:
    rows = standard(table)
    rows = rows[rows.date.between(*MIX_DAYS)]
    sums = rows.groupby("model")[["total_prompt_tokens", "total_completion_tokens"]].sum()
    short = rows.groupby("model").model_slug.last().str.split("/").str[-1]
    return pd.DataFrame({"id": short, "out": sums.total_completion_tokens / sums.sum(axis=1)})


def _effective_prices(table: pd.DataFrame) -> pd.DataFrame:
    rows = standard(table, "model_permaslug")
    return pd.DataFrame(
        {
            f"effective_{side}": (rows[f"effective_{side}_price"] * rows.total_tokens).groupby(rows.model).sum()
            / rows.groupby("model").total_tokens.sum()
            for side in ("input", "output")
        }
    )


def _list_prices(table: pd.DataFrame) -> pd.DataFrame:
    first = standard(table).sort_values("scrape_date").groupby("model").first()
    return pd.DataFrame({"list_input": first.prompt_price * 1e6, "list_output": first.completion_price * 1e6})


def _ttft(table: pd.DataFrame) -> pd.Series:
    """Median over endpoints and days of the median time to first token, each counted by its requests."""
    rows = standard(table)
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
        # They part where the literature on these markets parts them.
        list_input = apps.model.map(tables.models.list_input)
        return apps[list_input > PREMIUM_ABOVE if topic == "premium" else list_input <= PREMIUM_ABOVE]
    if topic == "roleplay":
        rows = apps[apps.app_categories.str.contains("roleplay", na=False)]
        return rows[rows.groupby("app_id").model.transform("nunique") >= 2]
    listed = apps.groupby("app_id").flow.sum()
    # Cursor, for one, is ranked but hardly listed: 0.1.
    largest = [app for app in tables.coding_rank if listed.get(app, 0.0) >= LEAST_LISTED_FLOW][:CODING_APPS]
    return apps[apps.app_id.isin(largest)]


def _user_ids(rows: pd.DataFrame, app_ids: list[str]) -> list[str]:
    first = rows.groupby("app_id")[["app_slug", "app_title"]].first().loc[app_ids]
    names = first.app_slug.where(first.app_slug.notna(), first.app_title)
    return [re.sub(r"[^a-z0-9]+", "-", name.lower().replace("'", "")).strip("-") for name in names]
