"""Shares: the profit of a method over the best proven profit, and its time over that of another method."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from prillm_or.comparison.plan import Record, Row
from prillm_or.result import Status


def with_shares(records: Sequence[Record], first: str) -> list[Record]:
    """Add `profit_share` and `time_share` to every row.

    * `profit_share`: profit / best profit of status `optimal` on the market; None where there is none or it is not
      positive.
    * `time_share`: total time / that of the same solver and model without abstraction where the row has an abstraction
      and the run has the other on the market, else / that of the method `first`; both of the same market and repeat.
      None where either gave no result. `beside_twin` of the record says which of the two it is.
    """
    best: dict[str, float] = {}
    exact: dict[tuple[object, ...], dict[int, float]] = {}
    firsts: dict[str, dict[int, float]] = {}
    for record in records:
        row, sha256 = record.row, record.unit.file.sha256
        if row["status"] == Status.OPTIMAL:
            best[sha256] = max(row["profit"], best.get(sha256, row["profit"]))
        if record.failure is None:
            seconds = {record.unit.repeat: row["time_s"]["total"]}
            if row["method"]["abstraction"] is None:
                exact.setdefault(_twin(record), {}).update(seconds)
            if str(record.unit.method) == first:
                firsts.setdefault(sha256, {}).update(seconds)

    def has_twin(record: Record) -> bool:
        return record.row["method"]["abstraction"] is not None and _twin(record) in exact

    def shared(record: Record) -> Row:
        row, sha256 = record.row, record.unit.file.sha256
        bases = exact[_twin(record)] if has_twin(record) else firsts.get(sha256, {})
        base = bases.get(record.unit.repeat)
        proven = best.get(sha256, 0.0)
        profit, seconds = row["profit"], row["time_s"]["total"]
        added = {
            "profit_share": profit / proven if profit is not None and proven > 0 else None,
            "time_share": seconds / base if record.failure is None and base else None,
        }
        message = {"message": row["message"]} if "message" in row else {}
        return {key: value for key, value in row.items() if key != "message"} | added | message

    return [replace(record, row=shared(record), beside_twin=has_twin(record)) for record in records]


def _twin(record: Record) -> tuple[object, ...]:
    """What a row shares with that of the same solver and model without abstraction."""
    method = record.row["method"]
    return record.unit.file.sha256, method["solver"], method["model"]
