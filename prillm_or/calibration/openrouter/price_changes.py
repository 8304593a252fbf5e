"""Prices that changed within one model: its providers by the hour, or by midnights with prices as a log has them.

`backtest` finds the changes in these folders. Prices are list prices, or follow a log of them, so that one changes only
when its provider changes it, and not with the cache hits of a day. Capacities are multiples of the loads.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING

import numpy as np

from prillm_or.calibration.observations import Leader, Observations
from prillm_or.calibration.openrouter.imported import About, Imported, Part
from prillm_or.calibration.openrouter.providers import UNITS, USER, filled, folder_name, square
from prillm_or.calibration.openrouter.raw import RawTables, standard
from prillm_or.errors import ObservationsError
from prillm_or.market.market import Array

if TYPE_CHECKING:
    import pandas as pd

HOURLY = ("activity", "endpoints", "sweeps")
LOGGED = ("activity", "shares", "changes")
"""Tables that each is made of."""

_MIX_DAYS = 30
_DAY, _HOUR = len("2026-07-21"), len("2026-07-21T15")


@dataclass(frozen=True, eq=False)
class _Panel:
    """What the models of one kind share.

    Parameters
    ----------
    cells
        A row per model, time (`day`) and provider: volume (in any unit), price (USD per 1e6 tokens), ttft (s, NaN where
        it is not known).
    totals
        Indexed by model and date: tokens, those of output, and requests of the whole day.
    said
        What a README says of volumes, prices and delays.
    needs
        Names of the tables.
    """

    kind: Part
    cells: pd.DataFrame
    totals: pd.DataFrame
    said: Mapping[str, Sequence[str]]
    needs: Sequence[str]


def hourly(tables: RawTables) -> list[Imported]:
    """Observations by the hour of every model in which a list price changed.

    Raises
    ------
    ObservationsError
        When there is none.
    """
    import pandas as pd

    rows = tables.frames["sweeps"].rename(columns={"permaslug": "model", "provider_slug": "provider"})
    known = set(standard(tables.frames["endpoints"])["endpoint_id"])
    rows = rows[rows["endpoint_id"].isin(known) & (rows["request_count"] > 0) & (rows["price_prompt"] > 0)]
    rows = rows.assign(day=rows["scraped_at"].str[:_HOUR])
    rows = rows[rows["scraped_at"] == rows.groupby("day")["scraped_at"].transform("max")]
    totals = _totals(tables)
    out = _output(totals, str(rows["day"].min())[:_DAY]).reindex(rows["model"]).to_numpy()
    rows = rows.assign(price=1e6 * ((1 - out) * rows["price_prompt"] + out * rows["price_completion"]))
    rows = rows[rows["price"].notna()]
    keys = [rows[key] for key in ("model", "day", "provider")]
    # A provider with two endpoints: averages by requests.
    volume = rows["request_count"].groupby(keys).sum()
    price, waited = (
        (rows[name] * rows["request_count"]).groupby(keys).sum(min_count=1) / volume
        for name in ("price", "p50_latency")
    )
    cells = pd.DataFrame({"volume": volume, "price": price, "ttft": waited / 1e3}).reset_index()
    said = {
        "Observed": [
            "requests, list prices and median time to first token of each endpoint in the 30 minutes before a sweep;",
            "tokens and requests of the model on each whole day (UTC).",
        ],
        "Derived": [
            "flow: share of the sweep's requests x the whole day's tokens;",
            f"price: list prices of input and output, blended by the model's own mix of the {_MIX_DAYS} days before;",
            "delay: time to first token x the model's requests per 1e6 tokens of the day;",
        ],
        "Imputed": ["time to first token where none was measured: the provider's median, else the model's."],
        "Chosen": ["of two sweeps in an hour the later; a provider is offered when it had requests;"],
    }
    return _made(_Panel("hourly", cells, totals, said, HOURLY), tables)


def logged(tables: RawTables) -> list[Imported]:
    """Observations at midnights of every model in which a price changed and a log of changes confirms it.

    Raises
    ------
    ObservationsError
        When there is none.
    """
    rows = standard(tables.frames["shares"], "model_permaslug")
    rows = rows.rename(columns={"dt": "day", "provider_name": "provider"})
    rows = rows[(rows["total_tokens"] > 0) & (rows["effective_output_price"] > 0)]
    # How many changes the log has before each midnight: between two, a price is one.
    place = _places_in_log(rows, tables)
    price = rows.groupby(["model", "provider", place])["effective_output_price"].transform("median")
    cells = rows.assign(price=price, volume=rows["total_tokens"], ttft=np.nan)
    said = {
        "Observed": [
            "tokens of each provider in the first minutes of each day (UTC), and the price paid for output;",
            "a log of changes of list prices for output; tokens and requests of the model on each whole day.",
        ],
        "Derived": [
            "flow: share of the scraped tokens x the whole day's tokens;",
            "price: of output, the median of those paid between two changes in the log; a change shows at the midnight "
            "after it;",
        ],
        "Imputed": ["delay: not observed, 0."],
        "Chosen": ["a provider is offered when it was paid for tokens;"],
    }
    return _made(_Panel("logged", cells, _totals(tables), said, LOGGED), tables)


def _totals(tables: RawTables) -> pd.DataFrame:
    rows = standard(tables.frames["activity"]).set_index(["model", "date"])
    tokens = rows["total_prompt_tokens"] + rows["total_completion_tokens"]
    totals = rows.assign(tokens=tokens, out=rows["total_completion_tokens"], requests=rows["request_count"])
    return totals[(totals["tokens"] > 0) & (totals["requests"] > 0)]


def _output(totals: pd.DataFrame, day: str) -> pd.Series[float]:
    """Share of output among each model's tokens of the days before `day`, or of all where there are none."""
    dates = totals.index.get_level_values("date")
    first = (date.fromisoformat(day) - timedelta(days=_MIX_DAYS)).isoformat()
    before, ever = (
        part.groupby("model")[["out", "tokens"]].sum() for part in (totals[(dates < day) & (dates >= first)], totals)
    )
    return (before["out"] / before["tokens"]).reindex(ever.index).fillna(ever["out"] / ever["tokens"])


def _places_in_log(rows: pd.DataFrame, tables: RawTables) -> pd.Series[int]:
    """Of each row, how many changes of its provider's price the log has before its day.

    The log names models without their version, and providers now and then shorter than the table does.
    """
    slugs = tables.frames["activity"].drop_duplicates("model_slug").set_index("model_slug")["permaslug"]
    log = tables.frames["changes"]
    when = [f"{text[:4]}-{text[4:6]}-{text[6:8]}" for text in log["changed_at_run_ts"]]
    changes: dict[str, list[tuple[str, str]]] = {}
    for model, provider, day in zip(log["model_id"].map(slugs), log["provider_name"], when, strict=True):
        changes.setdefault(model, []).append((_plain(provider), day))
    import pandas as pd

    before = [
        sum(_plain(provider).startswith(name) and changed < day for name, changed in changes.get(model, ()))
        for model, provider, day in zip(rows["model"], rows["provider"], rows["day"], strict=True)
    ]
    return pd.Series(before, index=rows.index)


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _made(panel: _Panel, tables: RawTables) -> list[Imported]:
    priced = panel.cells.groupby(["model", "provider"])["price"]
    moved = (priced.max() > (1 + 1e-9) * priced.min()).groupby("model").any()
    sold = panel.cells.groupby("model")["provider"].nunique() >= 2
    known = set(panel.totals.index.get_level_values("model"))
    models = sorted(str(model) for model in moved.index if moved[model] and sold[model] and model in known)
    made = [_imported(panel, model, tables) for model in models]
    if not made:
        raise ObservationsError(panel.kind, ["no model of two providers or more has a price that changed"])
    return made


def _imported(panel: _Panel, model: str, tables: RawTables) -> Imported:
    totals = panel.totals.loc[model]
    cells = panel.cells[(panel.cells["model"] == model) & panel.cells["day"].str[:_DAY].isin(set(totals.index))]
    days = sorted(set(cells["day"]))
    providers = list(cells.groupby("provider")["volume"].sum().sort_values(ascending=False, kind="stable").index)
    volume, price = (square(cells, name, days, providers) for name in ("volume", "price"))
    totals = totals.loc[[day[:_DAY] for day in days]]
    demand, requests = totals["tokens"].to_numpy() / 1e9, totals["requests"].to_numpy()
    share = np.nan_to_num(volume) / np.nansum(volume, axis=1, keepdims=True)
    offered = ~np.isnan(price)
    # Divided by a price, so that congestion is utilisation x price and its weight a pure number.
    capacity = demand[:, None] * share / _first(price)
    ttft = square(cells, "ttft", days, providers)
    ttft = np.zeros_like(ttft) if np.isnan(ttft).all() else filled(ttft)[0]
    observations = Observations(
        name=folder_name(model),
        days=tuple(days),
        user_ids=(USER,),
        provider_ids=tuple(map(str, providers)),
        flow=(share * demand[:, None])[:, None, :],
        price=price,
        capacity=np.where(offered, capacity, np.nan),
        delay=np.where(offered, ttft * (requests / demand / 1e3)[:, None], np.nan)[:, None, :],
        units=UNITS,
        leader=Leader((str(providers[0]),), (float(np.nanmax(price)),)),
    )
    return Imported(panel.kind, observations, None, _about(panel, model, observations, tables))


def _first(price: Array) -> Array:
    """Each provider's first price, shape (m,)."""
    return np.asarray(price[(~np.isnan(price)).argmax(axis=0), np.arange(price.shape[1])])


def _about(panel: _Panel, model: str, observations: Observations, tables: RawTables) -> About:
    leader, days = observations.leader, observations.days
    assert leader is not None
    capacity = "capacity: flow / the provider's first price: a multiple of the load, so give `--capacity-of-load`."
    chosen = [
        *panel.said["Chosen"],
        "all users of the model are one user; models: those of two providers or more in which a price changed, "
        "standard variant only;",
    ]
    leads = f"leader: {leader.providers[0]}, with most volume; cap: the highest price. Others: edit folder.json."
    figures = {**panel.said, "Derived": [*panel.said["Derived"], capacity], "Chosen": chosen}
    intro = (
        f"{observations.m} providers of {model}, {observations.T} times from {days[0]} to {days[-1]}, for `backtest`."
    )
    return About(intro, figures, leads, [tables.sources[name] for name in panel.needs])
