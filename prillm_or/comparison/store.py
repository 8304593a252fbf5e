"""Store: finished units of a comparison on disk, so that a run that was killed can go on."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from prillm_or import __version__
from prillm_or.comparison.plan import Record, Unit
from prillm_or.errors import PrillmError
from prillm_or.result import Status, result_from_json
from prillm_or.solving.recheck import of_line, recheck
from prillm_or.workers.lines import Lines

FILE = "runs.jsonl"
_FIELDS = ("instance_sha256", "method", "repeat", "gap", "time_limit", "threads", "seed")


class Store:
    """The file of finished units in a report's folder, made where it is missing.

    Parameters
    ----------
    resume
        Whether to keep what the folder holds; otherwise it starts empty.

    Raises
    ------
    PrillmError
        When the folder cannot be made or written.
    """

    def __init__(self, folder: Path, *, resume: bool) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as failure:
            raise PrillmError(f"{folder}: cannot be used for a report: {failure.strerror}") from None
        self._lines = Lines(folder / FILE, "key", resume=resume)

    def finished(self, units: Iterable[Unit]) -> list[Record]:
        """Those of the units that are stored with a result; failed ones are to run again.

        Raises
        ------
        PrillmError
            When a line is no record, or contradicts itself or its market.
        """
        known = {unit.key: unit for unit in units}
        found: dict[Unit, Record] = {}
        for number, stored in enumerate(self._lines.kept, start=1):
            try:
                unit = known.get(tuple(stored["key"][name] for name in _FIELDS))
                row, failure, version = stored["row"], stored["failure"], stored["row"]["version"]
            except (KeyError, TypeError):
                raise self._lines.fault(number) from None
            if unit is None or failure is not None or version != __version__ or row.get("status") == Status.ERROR:
                continue
            with of_line(self._lines, number):
                recheck(unit.file.market, result_from_json(row), unit.limits.gap)
            found[unit] = Record(unit, row)
        return list(found.values())

    def add(self, record: Record) -> None:
        """Keep a unit, on disk before this returns."""
        key = dict(zip(_FIELDS, record.unit.key, strict=True))
        self._lines.add({"key": key, "failure": record.failure, "row": record.row})
