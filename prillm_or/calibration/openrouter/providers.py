"""Providers competing within one model: a panel of days for each model, all its users taken as one.

A day's flow to a provider is its share of the model's tokens as scraped, times the model's tokens of that whole day.
Capacities rest on what was known before the panel, so that no flow that is to be explained is hidden in them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from prillm_or.calibration.by_component import ByComponent
from prillm_or.calibration.observations import Leader, Observations
from prillm_or.calibration.openrouter.imported import About, Imported
from prillm_or.calibration.openrouter.raw import RawTables, standard
from prillm_or.errors import ObservationsError
from prillm_or.market.market import Array, Mask, Units

if TYPE_CHECKING:
    import pandas as pd

NEEDS = ("activity", "effective", "endpoints", "hourly", "ceilings")
"""Tables it is made of."""

LEAST_PROVIDERS = 3
LEAST_COVERAGE = 0.25
"""A scrape that holds less of its day's tokens says too little about shares: the first days of the source hold 5 %."""

USER = "all-users"
UNITS = Units(currency="1000 USD", volume="1e9 tokens", delay="s per 1e6 tokens", period="day")
_MINUTES = 24 * 60
_PLACE = ["model", "day", "provider"]
_SIDES = {"input": "effective_input_price", "output": "effective_output_price"}
"""Columns of prices by component."""


@dataclass(frozen=True, eq=False)
class _Panel:
    """Frames that all models share.

    Parameters
    ----------
    days
        Those used.
    cells
        A row per model, day and provider with tokens and a paid price: tokens (as scraped), price, and those of input
        and of output (USD per 1e6).
    totals
        Indexed by model and day: tokens, total_completion_tokens, requests of the whole day.
    ttft
        Seconds, indexed by model, day and provider.
    sweeps
        A row per model, provider and sweep: day, rpm (requests per minute).
    ceilings
        Requests per minute, indexed by model and provider.
    """

    days: list[str]
    cells: pd.DataFrame
    totals: pd.DataFrame
    ttft: pd.Series[float]
    sweeps: pd.DataFrame
    ceilings: pd.Series[float]


def panels(tables: RawTables) -> list[Imported]:
    """Observations of every model with enough providers on every day, by name.

    Raises
    ------
    ObservationsError
        When there is no such model.
    """
    panel = _panel(tables)
    per_day = panel.cells.groupby(["model", "day"])["provider"].nunique().unstack("day").reindex(columns=panel.days)
    models = sorted(per_day.index[per_day.min(axis=1, skipna=False) >= LEAST_PROVIDERS])
    made = [_imported(panel, str(model), tables) for model in models if _known(panel, str(model))]
    if not made:
        problem = f"no model has {LEAST_PROVIDERS} providers with tokens and a price on each of {len(panel.days)} days"
        raise ObservationsError("providers", [f"{problem} that hold {LEAST_COVERAGE:.0%} of their day's tokens"])
    return made


def _panel(tables: RawTables) -> _Panel:
    frames = tables.frames
    activity = standard(frames["activity"]).rename(columns={"date": "day"}).set_index(["model", "day"])
    totals = activity.assign(tokens=activity["total_prompt_tokens"] + activity["total_completion_tokens"])
    totals = totals[(totals["tokens"] > 0) & (totals["request_count"] > 0)].rename(
        columns={"request_count": "requests"}
    )
    rows = standard(frames["effective"]).rename(columns={"scrape_date": "day", "provider_slug": "provider"})
    rows = rows.join(totals[["tokens", "total_completion_tokens"]], on=["model", "day"], how="inner")
    scraped, whole = rows.groupby("day")["total_tokens"].sum(), totals["tokens"].groupby("day").sum()
    days = sorted(day for day in scraped.index if scraped[day] >= LEAST_COVERAGE * whole[day])
    out = rows["total_completion_tokens"] / rows["tokens"]
    rows["price"] = (1 - out) * rows["effective_input_price"] + out * rows["effective_output_price"]
    # Without tokens nothing was paid, and what is priced by the request shows a price of 0.
    rows = rows[rows["day"].isin(days) & (rows["total_tokens"] > 0) & (rows["price"] > 0)]
    tokens = rows.groupby(_PLACE)["total_tokens"].sum()
    keys = [rows[key] for key in _PLACE]
    averages = {
        name: (rows[name] * rows["total_tokens"]).groupby(keys).sum() / tokens for name in ("price", *_SIDES.values())
    }
    cells = tokens.rename("tokens").to_frame().assign(**averages).reset_index()
    endpoints = standard(frames["endpoints"]).rename(columns={"scrape_date": "day", "provider_slug": "provider"})
    return _Panel(
        days,
        cells,
        totals,
        _ttft(endpoints),
        _sweeps(endpoints, frames["hourly"]),
        _ceilings(endpoints, frames["ceilings"]),
    )


def _ttft(endpoints: pd.DataFrame) -> pd.Series[float]:
    """Median time to first token of the endpoints, averaged by their requests; seconds."""
    rows = endpoints[endpoints["p50_latency"].notna() & (endpoints["request_count"] > 0)]
    keys = [rows[key] for key in _PLACE]
    waited = (rows["p50_latency"] * rows["request_count"]).groupby(keys).sum()
    return (waited / rows["request_count"].groupby(keys).sum() / 1e3).rename("ttft")


def _sweeps(endpoints: pd.DataFrame, hourly: pd.DataFrame) -> pd.DataFrame:
    """Requests per minute at each sweep: successful ones where they were counted."""
    import pandas as pd

    often = hourly.rename(columns={"permaslug": "model", "provider_slug": "provider", "scraped_at": "sweep"})
    # Endpoints have one variant each; the hourly table does not name it.
    often = often[often["endpoint_id"].isin(set(endpoints["endpoint_id"]))]
    both = pd.concat([endpoints.assign(sweep=endpoints["day"]), often.assign(day=often["sweep"].str[:10])])
    count = both["success_count"].fillna(both["request_count"])
    both = both.assign(rpm=count / both["stats_window_minutes"])
    both = both[np.isfinite(both["rpm"]) & (both["rpm"] > 0)]
    keys = ["model", "provider", "day", "sweep"]
    summed: pd.DataFrame = both[[*keys, "rpm"]].groupby(keys, as_index=False).sum()
    return summed


def _ceilings(endpoints: pd.DataFrame, ceilings: pd.DataFrame) -> pd.Series[float]:
    """Sum the router's own estimates over the endpoints of a provider."""
    where = endpoints.drop_duplicates("endpoint_id").set_index("endpoint_id")[["model", "provider"]]
    rows = ceilings[ceilings["capacity_ceiling_rpm"] > 0].join(where, on="endpoint_uuid", how="inner")
    return rows.groupby(["model", "provider"])["capacity_ceiling_rpm"].sum()


def _known(panel: _Panel, model: str) -> bool:
    """Whether a delay and a capacity are known of one of the model's providers at least."""
    providers = set(panel.cells["provider"][panel.cells["model"] == model])
    timed = any(day in panel.days and name in providers for day, name in _of(panel.ttft, model).index)
    swept = providers & set(panel.sweeps["provider"][panel.sweeps["model"] == model])
    return timed and bool(swept | (providers & set(_of(panel.ceilings, model).index)))


def _imported(panel: _Panel, model: str, tables: RawTables) -> Imported:
    cells = panel.cells[panel.cells["model"] == model]
    providers = list(cells.groupby("provider")["tokens"].sum().sort_values(ascending=False, kind="stable").index)
    tokens = square(cells, "tokens", panel.days, providers)
    price = square(cells, "price", panel.days, providers)
    totals = panel.totals.loc[model].loc[panel.days]
    total, requests = totals["tokens"].to_numpy(), totals["requests"].to_numpy()
    flow = np.nan_to_num(tokens) / np.nansum(tokens, axis=1, keepdims=True) * total[:, None] / 1e9
    ttft, guessed = filled(square(_of(panel.ttft, model).reset_index(), "ttft", panel.days, providers))
    rpm, origin = _rpm(panel, model, providers)
    reference = float(np.nansum(flow * np.nan_to_num(price)) / flow.sum())
    capacity = rpm * _MINUTES * total.sum() / requests.sum() / 1e9 / reference
    offered = ~np.isnan(price)
    observations = Observations(
        name=folder_name(model),
        days=tuple(panel.days),
        user_ids=(USER,),
        provider_ids=tuple(map(str, providers)),
        flow=flow[:, None, :],
        price=price,
        capacity=np.where(offered, capacity, np.nan),
        delay=np.where(offered, ttft * (1e6 * requests / total)[:, None], np.nan)[:, None, :],
        units=UNITS,
        leader=Leader((str(providers[0]),), (float(np.nanmax(price)),)),
    )
    scraped = np.nansum(tokens, axis=1) / total
    about = _about(model, observations, scraped, guessed & offered, origin, tables)
    out = (totals["total_completion_tokens"].to_numpy() / total)[:, None]
    by_component = ByComponent(
        {name: square(cells, column, panel.days, providers) for name, column in _SIDES.items()},
        {"input": 1 - out, "output": out},
    )
    return Imported("providers", observations, by_component, about)


def folder_name(model: str) -> str:
    """Name of a model's folder."""
    return re.sub(r"[^a-z0-9.]+", "-", model.lower()).strip("-")


def square(cells: pd.DataFrame, column: str, days: list[str], providers: list[str]) -> Array:
    """Shape (T, m) of a column; NaN where there is no row."""
    square = cells.pivot(index="day", columns="provider", values=column).reindex(index=days, columns=providers)
    return np.array(square, dtype=np.float64)


def _of(series: pd.Series[float], model: str) -> pd.Series[float]:
    """Rows of one model, its level dropped; none where it has none."""
    return series[series.index.get_level_values(0) == model].droplevel(0)


def filled(ttft: Array) -> tuple[Array, Mask]:
    """Fill what is missing by the provider's median over the days, else the median of all; and where that was."""
    import pandas as pd

    frame = pd.DataFrame(ttft)
    filled = frame.fillna(frame.median()).fillna(float(np.nanmedian(ttft)))
    return np.array(filled, dtype=np.float64), np.isnan(ttft)


def _rpm(panel: _Panel, model: str, providers: list[str]) -> tuple[Array, dict[str, int]]:
    """Requests per minute each provider can take, shape (m,), and how many providers' figure has which origin."""
    sweeps = panel.sweeps[panel.sweeps["model"] == model]
    before = sweeps[sweeps["day"] < panel.days[0]].groupby("provider")["rpm"].max().reindex(providers)
    first = sweeps.groupby("provider")["day"].transform("min")
    later = sweeps[sweeps["day"] == first].groupby("provider")["rpm"].max().reindex(providers)
    ceiling = _of(panel.ceilings, model).reindex(providers).to_numpy(dtype=np.float64)
    peak = before.fillna(later).to_numpy(dtype=np.float64)
    rpm = np.fmax(ceiling, peak)
    unknown = np.isnan(rpm)
    by_ceiling = ~unknown & ~(peak > np.nan_to_num(ceiling))
    by_later = ~unknown & ~by_ceiling & before.isna().to_numpy()
    origin = {
        "the router's ceiling": int(by_ceiling.sum()),
        "a sweep before the panel": int((~unknown & ~by_ceiling & ~by_later).sum()),
        "its first sweep within the panel": int(by_later.sum()),
        "nothing: median of the other providers": int(unknown.sum()),
    }
    return np.where(unknown, np.nanmedian(rpm), rpm), origin


def _about(
    model: str,
    observations: Observations,
    scraped: Array,
    guessed: Mask,
    origin: dict[str, int],
    tables: RawTables,
) -> About:
    leader = observations.leader
    assert leader is not None
    days, offered = observations.days, int(observations.offered.sum())
    origins = "; ".join(f"{name}: {count}" for name, count in origin.items())
    figures = {
        "Observed": [
            "tokens and requests of the model on each whole day (UTC);",
            "tokens of each provider so far that day, at the time of the scrape: only their shares are used "
            f"({scraped.min():.0%} to {scraped.max():.0%} of the whole day's tokens);",
            "prices really paid for input and output, after caching and discounts, per provider and day;",
            "median time to first token and requests per endpoint, in the 30 minutes before the scrape.",
        ],
        "Derived": [
            "flow: share x the whole day's tokens. Regions of one provider are added up;",
            "price: input and output price blended by the model's own mix of that day, averaged by tokens;",
            "delay: time to first token (averaged over endpoints by requests) x the model's requests per 1e6 tokens;",
            "capacity: requests per minute x the model's tokens per request / its mean price in the panel "
            f"({_reference(observations):.4g}), so that congestion is utilisation x price. The same on every day.",
        ],
        "Imputed": [
            f"time to first token of {int(guessed.sum())} of {offered} (day, provider): the provider's median over the "
            "panel, else the model's;",
            f"capacity: the larger of the router's own estimate and the busiest sweep before {days[0]}. Providers by "
            f"origin: {origins}. It is soft: loads above it occur.",
        ],
        "Chosen": [
            "all users of the model are one user: who sent the tokens is not known;",
            "a provider is offered on a day when it was paid for tokens that day. Who was listed and got none is left "
            "out, since its price is not known: the panel cannot say what makes a provider get nothing;",
            f"days: those whose scrape holds at least {LEAST_COVERAGE:.0%} of the day's tokens; models: those with "
            f"{LEAST_PROVIDERS} providers or more on each of them; standard variant only;",
        ],
    }
    leads = (
        f"leader: {leader.providers[0]}, with most tokens; cap: the highest price anyone was paid in the panel. "
        "Others: edit folder.json."
    )
    intro = (
        f"{observations.m} providers of {model}, {observations.T} days from {days[0]} to {days[-1]}, "
        f"{offered} of {observations.T * observations.m} (day, provider) offered. By its documentation the marketplace "
        "draws providers by 1/price^2 unless the caller says otherwise: users choose only in part."
    )
    return About(intro, figures, leads, [tables.sources[name] for name in NEEDS])


def _reference(observations: Observations) -> float:
    return float(np.nansum(observations.load * observations.price) / observations.load.sum())
