"""Apps choosing among models: one day for each market, from a snapshot of about 30 days.

The markets, and what is taken for their prices, delays and capacities, are those of the instances shipped under the
same names, before anything is fitted.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING

import numpy as np

from prillm_or.calibration.by_component import ByComponent
from prillm_or.calibration.observations import Leader, Observations
from prillm_or.calibration.openrouter.imported import About, Imported
from prillm_or.calibration.openrouter.raw import RawTables, standard
from prillm_or.errors import ObservationsError
from prillm_or.market.market import Units

if TYPE_CHECKING:
    import pandas as pd

NEEDS = ("apps", "activity", "shares", "lists", "endpoints", "hourly", "weekly")
"""Tables it is made of."""

# The snapshot covers about 30 days: checked against other sources, not documented.
SNAPSHOT_DAYS = 30
# The four whole weeks before the snapshot rank the coding apps.
RANK_WEEKS = 4
# A ranked coding app that the snapshot hardly lists says nothing about choice; 1e9 tokens per day.
LEAST_LISTED_FLOW = 1.0
CODING_APPS = 8
# Premium and economy models part at a list input price of 1 USD per 1e6 tokens.
PREMIUM_ABOVE = 1.0
# Peak of the half-hourly request counts: a high quantile, as the maximum is one odd sweep for some models.
PEAK_QUANTILE = 0.98

UNITS = Units(currency="1000 USD", volume="1e9 tokens", delay="s per 1e6 tokens", period="day")


@dataclass(frozen=True)
class Spec:
    """A market: how many models, largest first, the model that leads where it is among them, and who the users are."""

    name: str
    topic: str
    models: int
    leader: str
    users: str


_ALL = "all public apps listed for the {} models with most listed tokens among those with a list input price {}"
SPECS = (
    Spec("premium-4", "premium", 4, "gpt-5.5", _ALL.format(4, "above 1 USD per 1e6 tokens")),
    Spec("economy-8", "economy", 8, "minimax-m3", _ALL.format(8, "of at most 1 USD per 1e6 tokens")),
    Spec(
        "coding-13",
        "coding",
        13,
        "step-3.7-flash",
        f"the {CODING_APPS} largest apps of the weekly coding table in the {RANK_WEEKS} whole weeks before the "
        f"snapshot, of those with at least {LEAST_LISTED_FLOW:g}e9 listed tokens per day; the 13 models they use most",
    ),
    Spec(
        "roleplay-10",
        "roleplay",
        10,
        "gemini-3.1-flash-lite-preview",
        "apps of the category roleplay listed for two models or more; the 10 models they use most",
    ),
    Spec(
        "openrouter-40",
        "all",
        40,
        "gpt-5.5",
        "all public apps listed for the 40 models with most listed tokens",
    ),
)


@dataclass(frozen=True, eq=False)
class _Snapshot:
    """What all markets share.

    Parameters
    ----------
    day
        Of the snapshot, ISO.
    apps
        A row per app and model: app_id, user, app_categories, model, flow (1e9 tokens per day), requests (1e3 per
        day).
    models
        Indexed by model: id; price and list_price, both blended, and list_input (USD per 1e6 tokens); ttft (s); peak
        (to mean).
    ranked
        App ids of the weekly coding table, largest first.
    peak_default
        Median peak to mean, for models without hourly counts.
    """

    day: str
    apps: pd.DataFrame
    models: pd.DataFrame
    ranked: list[str]
    peak_default: float


def markets(tables: RawTables) -> list[Imported]:
    """Observations of each market that the tables can fill.

    Raises
    ------
    ObservationsError
        When there is none.
    """
    snapshot = _snapshot(tables)
    made = [imported for spec in SPECS if (imported := _imported(snapshot, spec, tables)) is not None]
    if not made:
        problem = "no market has an app and two models whose price, delay and listed tokens are known"
        raise ObservationsError("apps", [problem])
    return made


def _snapshot(tables: RawTables) -> _Snapshot:
    frames = tables.frames
    apps = frames["apps"]
    day = str(apps["dt"].max())
    models = _mix(frames["activity"], day).join(_effective(frames["shares"])).join(_listed(frames["lists"]))
    peak = _peak(frames["hourly"])
    models = models.join(_ttft(frames["endpoints"])).join(peak)
    for kind, name in (("effective", "price"), ("list", "list_price")):
        models[name] = (1 - models["out"]) * models[f"{kind}_input"] + models["out"] * models[f"{kind}_output"]
    known = models[(models["price"] > 0) & models["ttft"].notna() & models["list_input"].notna()]
    return _Snapshot(
        day=day,
        apps=_apps(apps[(apps["scope"] == "model") & (apps["dt"] == day)], known),
        models=known,
        ranked=_ranked(frames["weekly"], day),
        peak_default=float(peak.median()) if len(peak) else 1.0,
    )


def _apps(table: pd.DataFrame, models: pd.DataFrame) -> pd.DataFrame:
    rows = standard(table, "model_permaslug")
    rows = rows[rows["model"].isin(models.index) & (rows["total_tokens"] > 0)]
    named = rows["app_slug"].where(rows["app_slug"] != "", rows["app_title"])
    return rows.assign(
        user=[_slug(name) or str(app) for name, app in zip(named, rows["app_id"], strict=True)],
        flow=rows["total_tokens"] / (SNAPSHOT_DAYS * 1e9),
        requests=rows["total_requests"] / (SNAPSHOT_DAYS * 1e3),
    )


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower().replace("'", "")).strip("-")


def _mix(table: pd.DataFrame, day: str) -> pd.DataFrame:
    """Share of output among the tokens of the days before the snapshot, and the short name of each model."""
    rows = standard(table)
    rows = rows[(rows["date"] < day) & (rows["date"] >= _before(day, SNAPSHOT_DAYS))]
    grouped = rows.groupby("model")
    prompt, completion = grouped["total_prompt_tokens"].sum(), grouped["total_completion_tokens"].sum()
    short = grouped["model_slug"].last().str.split("/").str[-1]
    mix = short.rename("id").to_frame().assign(out=completion / (prompt + completion))
    return mix[mix["out"].notna()]


def _effective(table: pd.DataFrame) -> pd.DataFrame:
    rows = standard(table, "model_permaslug")
    tokens = rows.groupby("model")["total_tokens"].sum()
    sides = {
        f"effective_{side}": rows[f"effective_{side}_price"] * rows["total_tokens"] for side in ("input", "output")
    }
    frame = tokens.to_frame()
    for name, spent in sides.items():
        frame[name] = spent.groupby(rows["model"]).sum() / tokens
    return frame.drop(columns="total_tokens")


def _listed(table: pd.DataFrame) -> pd.DataFrame:
    rows = standard(table)
    first = rows[rows["prompt_price"] >= 0].sort_values("scrape_date", kind="stable").groupby("model").first()
    prices = {"list_input": first["prompt_price"] * 1e6, "list_output": first["completion_price"] * 1e6}
    return first.assign(**prices)[list(prices)]


def _ttft(table: pd.DataFrame) -> pd.Series[float]:
    """Median over endpoints and days of the median time to first token, each counted by its requests; seconds."""
    rows = standard(table)
    rows = rows[(rows["request_count"] > 0) & rows["p50_latency"].notna()].sort_values("p50_latency", kind="stable")
    requests = rows.groupby("model")["request_count"]
    share = requests.cumsum() / requests.transform("sum")
    return rows[share >= 0.5].groupby("model")["p50_latency"].first().rename("ttft") / 1e3


def _peak(table: pd.DataFrame) -> pd.Series[float]:
    sweeps = table.groupby(["permaslug", "scraped_at"])["request_count"].sum().groupby("permaslug")
    mean = sweeps.mean()
    mean = mean[mean > 0]
    peak = sweeps.quantile(PEAK_QUANTILE).reindex(mean.index) / mean
    return peak.rename("peak").rename_axis("model")


def _ranked(table: pd.DataFrame, day: str) -> list[str]:
    whole = [week for week in sorted(set(table["week_start"])) if week <= _before(day, 7)][-RANK_WEEKS:]
    rows = table[table["week_start"].isin(whole) & (table["app_title"] != "Others")]
    return [str(app) for app in rows.groupby("app_id")["total_tokens"].sum().sort_values(ascending=False).index]


def _before(day: str, days: int) -> str:
    return (date.fromisoformat(day) - timedelta(days=days)).isoformat()


def _imported(snapshot: _Snapshot, spec: Spec, tables: RawTables) -> Imported | None:
    rows = _rows(snapshot, spec.topic)
    largest = rows.groupby("model")["flow"].sum().sort_values(ascending=False).index[: spec.models]
    rows = rows[rows["model"].isin(largest)]
    if rows.empty or len(largest) < 2:
        return None
    square = rows.pivot(index="app_id", columns="model", values="flow").fillna(0.0)
    square = square.loc[square.sum(axis=1).sort_values(ascending=False).index, largest]
    users = rows.groupby("app_id")["user"].first().loc[square.index]
    models = snapshot.models.loc[largest]
    flow, price = square.to_numpy(), models["price"].to_numpy()
    no_peak = list(models["id"][models["peak"].isna()])
    peak = models["peak"].fillna(snapshot.peak_default).to_numpy()
    sums = rows.groupby("app_id")[["requests", "flow"]].sum().loc[square.index]
    per_million = (sums["requests"] / sums["flow"]).to_numpy()  # 1e3 requests per 1e9 tokens
    names = _distinct(list(models["id"]), list(map(str, models.index)))
    observations = Observations(
        name=spec.name,
        days=(snapshot.day,),
        user_ids=tuple(_distinct(list(users), list(map(str, square.index)))),
        provider_ids=tuple(names),
        flow=flow[None],
        price=price[None],
        # Divided by the price, so that congestion is utilisation x price and its weight a pure number of order 1.
        capacity=(flow.sum(axis=0) * peak / price)[None],
        delay=np.multiply.outer(per_million, models["ttft"].to_numpy())[None],
        units=UNITS,
        leader=_leader(spec, names, models),
    )
    # What an app asks for of each model is not known: it is taken to ask for what the model's users do.
    out = (flow @ models["out"].to_numpy() / flow.sum(axis=1))[None]
    sides = {"input": models["effective_input"].to_numpy()[None], "output": models["effective_output"].to_numpy()[None]}
    by_component = ByComponent(sides, {"input": 1 - out, "output": out})
    return Imported("apps", observations, by_component, _about(spec, observations, no_peak, snapshot, tables))


def _rows(snapshot: _Snapshot, topic: str) -> pd.DataFrame:
    apps = snapshot.apps
    if topic in ("premium", "economy"):
        list_input = apps["model"].map(snapshot.models["list_input"])
        return apps[(list_input > PREMIUM_ABOVE) if topic == "premium" else (list_input <= PREMIUM_ABOVE)]
    if topic == "all":
        return apps
    if topic == "roleplay":
        rows = apps[apps["app_categories"].str.contains("roleplay")]
        return rows[rows.groupby("app_id")["model"].transform("nunique") >= 2]
    listed = apps.groupby("app_id")["flow"].sum()
    largest = [app for app in snapshot.ranked if listed.get(app, 0.0) >= LEAST_LISTED_FLOW][:CODING_APPS]
    return apps[apps["app_id"].isin(largest)]


def _distinct(names: list[str], ids: list[str]) -> list[str]:
    """Names, with the id behind those that are not alone."""
    return [f"{name} ({own})" if names.count(name) > 1 else name for name, own in zip(names, ids, strict=True)]


def _leader(spec: Spec, names: list[str], models: pd.DataFrame) -> Leader | None:
    if spec.leader not in names:
        return None
    return Leader((spec.leader,), (float(models["list_price"].iloc[names.index(spec.leader)]),))


def _about(spec: Spec, observations: Observations, no_peak: list[str], snapshot: _Snapshot, tables: RawTables) -> About:
    pairs = observations.n * observations.m
    unlisted = pairs - int((observations.flow > 0).sum())
    leader = (
        f"leader: {spec.leader}, sold mostly by one firm; cap: its list price, blended. Others: edit folder.json."
        if observations.leader
        else f"no leader, since {spec.leader} is not among the models: to make markets, name one in folder.json."
    )
    figures = {
        "Observed": [
            f"tokens and requests per app and model, about {SNAPSHOT_DAYS} days to {snapshot.day};",
            "effective input and output prices per provider of a model, prompt and completion tokens per model, list "
            "prices, time to first token per endpoint, request counts of each half hour.",
        ],
        "Derived": [
            f"flow: listed tokens / {SNAPSHOT_DAYS}: one average day, dated {snapshot.day};",
            "price: effective prices, averaged by tokens, blended by the model's own mix before the snapshot;",
            "delay: median time to first token of the model x the app's requests per 1e6 tokens;",
            f"capacity: load x peak to mean of requests ({PEAK_QUANTILE:.0%} quantile / mean) / price, so that "
            "congestion is utilisation x price. It holds the load: where flows are held out, scale it by the load "
            "that is left.",
        ],
        "Imputed": [
            f"{unlisted} of {pairs} (app, model) are not listed and taken as zero. The tables list about five public "
            "apps per model, a quarter of all tokens: such a flow is unknown, at most that of the last app listed;",
            f"peak to mean of {', '.join(no_peak)}: median of the other models." if no_peak else "no peak to mean.",
        ],
        "Chosen": [f"users: {spec.users}; standard variant only;"],
    }
    intro = (
        f"{observations.n} apps, {observations.m} models, {observations.flow.sum():.4g}e9 tokens per day. One snapshot "
        "does not identify what users want: scores of a fit need the independence baseline beside them."
    )
    return About(intro, figures, leader, [tables.sources[name] for name in NEEDS])
