"""Runs: units of a comparison on any engine; a failed one gives a row like the others."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from functools import cache

from prillm_or import __version__
from prillm_or.comparison.method import MethodSpec
from prillm_or.comparison.plan import Record, Row, Unit
from prillm_or.errors import PrillmError
from prillm_or.files.names import name_of
from prillm_or.market.synthetic import generate
from prillm_or.result import RESULT_FORMAT, Status, Times
from prillm_or.solving.run import solve
from prillm_or.users.threads import cores
from prillm_or.workers.engine import Engine, Lost, spread

_WARM_UP_S = 5.0


def run_unit(unit: Unit) -> Record:
    """Run a unit. Its time does not hold the reading of the file, nor a method's first imports.

    Raises
    ------
    KeyboardInterrupt
        On Ctrl-C, also where the solver still had a price to give: half a run is no row.
    """
    _warm_up(unit.method)
    began = time.perf_counter()
    method, file = unit.method, unit.file
    try:
        result = solve(
            replace(file, read_s=0.0),
            solver=method.solver,
            model=method.model,
            abstraction=method.abstraction,
            **vars(unit.limits),
        )
    except PrillmError as error:
        return failed(unit, "refused", error.message, time.perf_counter() - began)
    except Exception as error:  # one broken run must not cost the others
        return failed(unit, "crashed", f"{type(error).__name__}: {error}", time.perf_counter() - began)
    if result.interrupted:
        raise KeyboardInterrupt
    row = result.to_dict() | _besides(unit)
    if result.status is Status.ERROR:
        row["message"] = "; ".join(result.notes)
    return Record(unit, row)


def failed(unit: Unit, failure: str, message: str, seconds: float) -> Record:
    """Record of a run without a result: the fields of one, empty, and why."""
    method = unit.method
    row: Row = {
        "format": RESULT_FORMAT,
        "instance": unit.file.market.name,
        "instance_sha256": unit.file.sha256,
        "today": None,
        "method": {
            "solver": name_of("solvers", method.solver),
            "solver_version": None,
            "model": method.model and name_of("models", method.model),
            "abstraction": method.abstraction and method.abstraction.label,
            "keep": method.abstraction and method.abstraction.keep,
        },
        "status": Status.ERROR.value,
        "prices": {},
        "profit": None,
        "upper_bound": None,
        "gap": None,
        "loads": {},
        "certificate": None,
        "time_s": asdict(Times(total=seconds)),
        "seed": unit.limits.seed,
        "threads": unit.limits.threads,
        "version": __version__,
        "stats": {},
        "warnings": [],
        **_besides(unit),
        "message": message,
    }
    return Record(unit, row, failure)


def _besides(unit: Unit) -> Row:
    """What a row holds besides a result."""
    return {"repeat": unit.repeat} | ({} if unit.outside is None else {"outside": unit.outside})


def run_all(units: Sequence[Unit], engine: Engine, on_begin: Callable[[Unit], None]) -> Iterator[Record]:
    """Yield records as units finish.

    Parameters
    ----------
    on_begin
        Called with each unit that begins, where they run one after the other in this process.
    """
    if engine.here:
        for unit in units:
            on_begin(unit)
            yield run_unit(unit)
        return
    for number, answer in spread(engine, _row_of, units):
        unit = units[number]
        yield failed(unit, "crashed", answer.message, 0.0) if isinstance(answer, Lost) else Record(unit, *answer)


def _row_of(unit: Unit) -> tuple[Row, str | None]:
    """What comes back of a unit: the market need not travel twice."""
    record = run_unit(unit)
    return record.row, record.failure


def crowding(jobs: int, threads: int) -> str | None:
    """Warning where more threads are asked for than there are cores, or None."""
    if jobs * threads <= (available := cores()):
        return None
    return (
        f"warning: {jobs} jobs x {threads} threads on {available} cores: the runs will slow each other down; "
        "times are not to be trusted"
    )


@cache
def _warm_up(method: MethodSpec) -> None:
    """Solve a small market first, so that imports, weights and a solver's first start count for no run.

    Raises
    ------
    KeyboardInterrupt
        On Ctrl-C, as `run_unit`.
    """
    rivals = 1 if method.abstraction is None else method.abstraction.keep + 1  # one too many, so that it does its work
    with suppress(Exception):  # the run will say what is wrong
        result = solve(
            generate(2, rivals + 1, "uniform", 0),
            solver=method.solver,
            model=method.model,
            time_limit=_WARM_UP_S,
            abstraction=method.abstraction,
        )
        if result.interrupted:
            raise KeyboardInterrupt
