"""Store: finished units on disk, one JSON line each, so that a run that was killed can go on."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path

from prillm_or.errors import PrillmError
from prillm_or.files.atomic import replace_file
from prillm_or.report.plan import Record, Unit

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
        self._path = folder / FILE
        try:
            folder.mkdir(parents=True, exist_ok=True)
            old = self._path.read_bytes() if resume and self._path.exists() else b""
        except OSError as failure:
            raise PrillmError(f"{folder}: cannot be used for a report: {failure.strerror}") from None
        # A line that a kill cut short has no end and is dropped; those before it are whole.
        self._lines = old[: old.rfind(b"\n") + 1].decode().splitlines()
        replace_file(self._path, "".join(f"{line}\n" for line in self._lines).encode())

    def finished(self, units: Iterable[Unit]) -> list[Record]:
        """Those of the units that are stored with a result; failed ones are to run again."""
        known = {unit.key: unit for unit in units}
        found: dict[Unit, Record] = {}
        for number, line in enumerate(self._lines, start=1):
            try:
                stored = json.loads(line)
                unit = known.get(tuple(stored["key"][name] for name in _FIELDS))
                row, failure = stored["row"], stored["failure"]
            except (ValueError, KeyError, TypeError):
                raise PrillmError(f"{self._path}: line {number} is no record of a run; mend or remove it") from None
            if unit is not None and failure is None:
                found[unit] = Record(unit, row)
        return list(found.values())

    def add(self, record: Record) -> None:
        """Append a record: one write of a whole line, on disk before this returns."""
        key = dict(zip(_FIELDS, record.unit.key, strict=True))
        line = json.dumps({"key": key, "failure": record.failure, "row": record.row}, allow_nan=False) + "\n"
        try:
            with self._path.open("ab", buffering=0) as stream:
                stream.write(line.encode())
                os.fsync(stream.fileno())
        except OSError as failure:
            raise PrillmError(f"{self._path}: cannot be written: {failure.strerror}") from None
