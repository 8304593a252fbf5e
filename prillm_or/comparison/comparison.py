"""compare: every method on every market, in turns, and what a report says of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prillm_or.comparison.environment import environment
from prillm_or.comparison.plan import Plan, Record, Row, Unit
from prillm_or.comparison.runs import run_all
from prillm_or.comparison.shares import with_shares
from prillm_or.comparison.store import Store
from prillm_or.errors import PrillmError, need_packages, with_arguments
from prillm_or.output.answer import Answer
from prillm_or.output.tables import Part, Table
from prillm_or.workers.engine import Engine

if TYPE_CHECKING:
    from pandas import DataFrame

REPORT_FORMAT = "prillm-or/report@1"


@dataclass(frozen=True, repr=False)
class Comparison(Answer):
    """What was run.

    Parameters
    ----------
    records
        Of the finished units, in the order of the plan.
    environment
        What the run depended on, see `environment`.
    interrupted
        Whether Ctrl-C came first.
    failure
        Why it ended before all units had run, as where a disk is full or a cluster is lost; None where it did not.
    """

    plan: Plan
    records: tuple[Record, ...]
    environment: Mapping[str, Any]
    interrupted: bool = False
    failure: str | None = None

    @property
    def rows(self) -> list[Row]:
        """Results with `repeat`, `profit_share` and `time_share`."""
        return [record.row for record in self.records]

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON holds it."""
        return {"format": REPORT_FORMAT, "environment": dict(self.environment), "rows": self.rows}

    def to_frame(self) -> DataFrame:
        """A row for each run; of a field that holds others, a column each."""
        need_packages("to_frame", "pandas")
        import pandas as pd

        return pd.json_normalize(self.rows)

    def parts(self, note: str = "") -> Iterator[Part]:
        """For each market a sentence and a table, what the methods are, and for a preset the figures of the paper."""
        from prillm_or.comparison.headline import headline
        from prillm_or.comparison.method import about
        from prillm_or.comparison.published import paper_tables
        from prillm_or.comparison.summary import HEADINGS, NUMBERS, RANKS, TEXTS, cells, sections, time_note

        found = sections(self)
        for section in found:
            yield f"{section.name}: {headline(section, self.plan.limits.gap)}"
            rows = [cells(line) for line in section.lines]
            yield Table(f"{section.name}{note}", HEADINGS, rows, NUMBERS, TEXTS, RANKS)
            yield from section.messages
        if found:
            yield time_note(self)
        for method in self.plan.methods:
            yield f"{method}: {about(method)}"
        yield from paper_tables(self.plan.preset, found)


def compare(
    plan: Plan,
    *,
    engine: Engine | None = None,
    folder: Path | None = None,
    resume: bool = False,
    on_begin: Callable[[Unit], None] = lambda unit: None,
    on_end: Callable[[Record], None] = lambda record: None,
    wording: Callable[[str], str] = with_arguments,
) -> Comparison:
    """Run a plan, one unit after the other or as the engine spreads them.

    Parameters
    ----------
    engine
        Where units run; in this process without it.
    folder
        Where finished units are kept as they come, or None to keep them in memory alone.
    resume
        Whether units finished in `folder` before are taken as they are; otherwise they are forgotten.
    on_begin, on_end
        Told of units as they begin (where they run in this process) and end.
    wording
        How arguments are spelled where a run failed: as in Python, or `with_flags`.

    Returns
    -------
    Comparison
        After Ctrl-C, a full disk or the loss of a cluster, of what was finished.

    Raises
    ------
    PrillmError
        When the folder cannot be used, or a cluster is not there, before any unit has finished.

    Examples
    --------
    >>> from prillm_or.comparison.method import parse_method
    >>> from prillm_or.files.markets import read_market
    >>> from prillm_or.files.names import find
    >>> kink = read_market(find("instances", "tiny/kink"))
    >>> done = compare(Plan((kink,), (parse_method("path"), parse_method("bisect"))))
    >>> [round(row["profit_share"], 3) for row in done.rows]
    [1.0, 1.0]
    """
    engine = engine or Engine()
    units = list(plan.units())
    store = None if folder is None else Store(folder, resume=resume)
    done = {record.unit.key: record for record in store.finished(units)} if store and resume else {}
    interrupted, failure = False, None
    try:
        for raw in run_all([unit for unit in units if unit.key not in done], engine, on_begin):
            record = _worded(raw, wording)
            done[record.unit.key] = record
            if store is not None:
                store.add(record)
            on_end(record)
    except KeyboardInterrupt:
        interrupted = True
    except PrillmError as fault:
        if not done:
            raise
        failure = fault.message
    records = with_shares([done[unit.key] for unit in units if unit.key in done], str(plan.methods[0]))
    return Comparison(plan, tuple(records), environment(plan, engine), interrupted, failure)


def _worded(record: Record, wording: Callable[[str], str]) -> Record:
    """The record with its message, where it has one, as its readers know the arguments."""
    if "message" not in record.row:
        return record
    return replace(record, row=record.row | {"message": wording(record.row["message"])})
