"""Raw tables: those of the marketplace, read as frames with every fault at once."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from prillm_or.errors import ObservationsError, need_packages
from prillm_or.files.cells import files_of
from prillm_or.files.tables import Column, Kind, Table, find_table, read_table
from prillm_or.market.faults import Faults

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class RawTable:
    """A table the importer reads.

    Parameters
    ----------
    stem
        Path below the folder of the tables, without ending; may hold the wild card `*`.
    columns
        Those that are used; others are ignored.
    keys
        Columns that no two rows share.
    source
        Where the table comes from.
    """

    stem: str
    columns: tuple[Column, ...]
    keys: tuple[str, ...]
    source: str


@dataclass(frozen=True, eq=False)
class RawTables:
    """Frames by name, and a line on each file they were read from."""

    frames: Mapping[str, pd.DataFrame]
    sources: Mapping[str, str]


def _texts(*names: str) -> tuple[Column, ...]:
    return tuple(Column(name, Kind.TEXT) for name in names)


def _numbers(*names: str, empty: bool = False) -> tuple[Column, ...]:
    return tuple(Column(name, Kind.NON_NEGATIVE, empty=empty) for name in names)


def _day(name: str) -> Column:
    return Column(name, Kind.DAY)


_PRICING, _ROUTING = "openrouter-pricing-data", "ai-routing"
_PRICING_AT = "GitHub sui414/openrouter-pricing-data, data/csv, from OpenRouter's public pages; no licence stated"
_ROUTING_AT = "GitHub pluriholonomic/ai-routing, analysis, from OpenRouter's public pages; no licence stated"
_WEEKLY_AT = "GitHub pickmiu/llm-market-data (MIT), from OpenRouter's rankings (CC BY 4.0)"
_EFFECTIVE = ("effective_input_price", "effective_output_price", "total_tokens")

TABLES = {
    "activity": RawTable(
        f"{_PRICING}/model_activity_daily",
        (
            *_texts("permaslug", "variant", "model_slug"),
            _day("date"),
            *_numbers("total_prompt_tokens", "total_completion_tokens", "request_count"),
        ),
        ("permaslug", "variant", "date"),
        _PRICING_AT,
    ),
    "effective": RawTable(
        f"{_PRICING}/effective_pricing_by_provider",
        (
            _day("scrape_date"),
            *_texts("permaslug", "variant", "provider_name", "provider_slug"),
            *_numbers(*_EFFECTIVE),
        ),
        ("scrape_date", "permaslug", "variant", "provider_name"),
        _PRICING_AT,
    ),
    "endpoints": RawTable(
        f"{_PRICING}/endpoints_daily",
        (
            _day("scrape_date"),
            *_texts("permaslug", "variant", "endpoint_id", "provider_slug"),
            *_numbers("p50_latency", "request_count", "success_count", "stats_window_minutes", empty=True),
        ),
        ("scrape_date", "endpoint_id"),
        _PRICING_AT,
    ),
    "hourly": RawTable(
        f"{_PRICING}/perf_hourly_top60",
        (
            *_texts("scraped_at", "permaslug", "endpoint_id", "provider_slug"),
            *_numbers("request_count", "success_count", "stats_window_minutes", empty=True),
        ),
        ("scraped_at", "endpoint_id"),
        _PRICING_AT,
    ),
    "sweeps": RawTable(
        f"{_PRICING}/perf_hourly_top60",
        (
            *_texts("scraped_at", "permaslug", "endpoint_id", "provider_slug"),
            *_numbers("price_prompt", "price_completion"),
            *_numbers("p50_latency", "request_count", empty=True),
        ),
        ("scraped_at", "endpoint_id"),
        _PRICING_AT,
    ),
    "lists": RawTable(
        f"{_PRICING}/models_daily",
        (
            _day("scrape_date"),
            *_texts("permaslug", "variant"),
            # The marketplace lists its own routers at a price of -1.
            Column("prompt_price", Kind.NUMBER),
            Column("completion_price", Kind.NUMBER),
        ),
        ("scrape_date", "permaslug", "variant"),
        _PRICING_AT,
    ),
    "ceilings": RawTable(
        f"{_ROUTING}/endpoint_reject_capacity",
        (*_texts("endpoint_uuid"), *_numbers("capacity_ceiling_rpm", empty=True)),
        ("endpoint_uuid",),
        _ROUTING_AT,
    ),
    "shares": RawTable(
        f"{_ROUTING}/provider_shares_*",
        (_day("dt"), *_texts("model_permaslug", "variant", "provider_name"), *_numbers(*_EFFECTIVE)),
        ("dt", "model_permaslug", "variant", "provider_name"),
        _ROUTING_AT,
    ),
    "changes": RawTable(
        f"{_ROUTING}/endpoint_price_changes_*",
        _texts("changed_at_run_ts", "model_id", "provider_name"),
        (),
        _ROUTING_AT,
    ),
    "apps": RawTable(
        f"{_ROUTING}/top_apps_by_model_*",
        (
            _day("dt"),
            *_texts("scope", "app_id", "app_title"),
            *(
                Column(name, Kind.TEXT, empty=True)
                for name in ("model_permaslug", "variant", "app_slug", "app_categories")
            ),
            *_numbers("total_tokens", "total_requests"),
        ),
        ("dt", "scope", "model_permaslug", "variant", "app_id"),
        _ROUTING_AT,
    ),
    "weekly": RawTable(
        "llm-market-data/coding_apps_weekly",
        (_day("week_start"), *_texts("app_id", "app_title"), *_numbers("total_tokens")),
        ("week_start", "app_id"),
        _WEEKLY_AT,
    ),
}
"""Every table by the name the importer gives it."""


def read_raw(folder: Path, names: Sequence[str]) -> RawTables:
    """Read tables by their names in `TABLES`.

    Raises
    ------
    ObservationsError
        When a table is missing or faulty; it lists every fault of every table.
    UnavailableError
        When pandas, or for Parquet pyarrow, is not installed.
    """
    need_packages("import-openrouter", "pandas", extra="calibrate")
    import pandas as pd

    if not folder.is_dir():
        raise ObservationsError(str(folder), ["not a folder; expected one with a subfolder for each source"])
    faults = Faults()
    frames, sources = {}, {}
    for name in names:
        spec = TABLES[name]
        path = find_table(folder, spec.stem, faults)
        table = None if path is None else read_table(path, spec.columns, spec.keys, faults, others=True)
        if path is not None and table is not None:
            frames[name] = pd.DataFrame({**table.texts, **table.numbers})
            content = b"".join(part.read_bytes() for part in files_of(path))
            sha256 = hashlib.sha256(content).hexdigest()[:16]
            where = path.relative_to(folder).as_posix()
            size = f"{len(table.rows)} rows{_span(table, spec)}"
            sources[name] = f"`{where}`, {size}, SHA-256 {sha256}...: {spec.source}"
    if faults.lines():
        raise ObservationsError(str(folder), faults.lines())
    return RawTables(frames, sources)


def _span(table: Table, spec: RawTable) -> str:
    """First and last day of a table, for people."""
    dated = [column.name for column in spec.columns if column.kind is Kind.DAY or column.name == "scraped_at"]
    if not dated:
        return ", undated"
    days = table.texts[dated[0]]
    first, last = min(days)[:10], max(days)[:10]
    return f", {first} to {last}" if first != last else f", {first}"


def standard(frame: pd.DataFrame, model: str = "permaslug") -> pd.DataFrame:
    """Rows of the models' standard variant, the model's column called `model`."""
    return frame[frame["variant"] == "standard"].rename(columns={model: "model"})
