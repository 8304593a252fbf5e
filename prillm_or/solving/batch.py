"""Batch: many markets solved alike, on any engine, with results kept as they come."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prillm_or import __version__
from prillm_or.errors import OUT_OF_MEMORY, PrillmError, argument
from prillm_or.files.markets import MarketFile, read_market
from prillm_or.files.names import find
from prillm_or.limits import Limits
from prillm_or.market.outside import with_outside
from prillm_or.models.registry import model_profile
from prillm_or.result import Result, Status, result_from_json
from prillm_or.solvers.registry import solver_profile
from prillm_or.solving.recheck import of_line, recheck
from prillm_or.solving.run import solve
from prillm_or.workers.engine import Engine, Lost, spread
from prillm_or.workers.lines import Lines

if TYPE_CHECKING:
    from prillm_or.abstraction.registry import AbstractionChoice


_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Settings:
    """How markets are solved; see `solve` and, of `outside`, `with_outside`."""

    solver: str = "auto"
    model: str | None = None
    limits: Limits = field(default_factory=Limits)
    abstraction: AbstractionChoice | None = None
    certify: bool = False
    outside: float | None = None


@dataclass(frozen=True)
class Task:
    """A market to solve.

    Parameters
    ----------
    name
        Its file, or the name of a shipped one.
    file
        Its content where it was read already; a worker on another machine has no files of ours.
    """

    name: str
    settings: Settings
    file: MarketFile | None = None


@dataclass(frozen=True)
class Refused:
    """In place of a result: why there is none.

    Parameters
    ----------
    crashed
        Whether the run broke, so that the fault is ours; else it is that of the file or the combination.
    """

    message: str
    crashed: bool = False


def solve_task(task: Task) -> Result:
    """Read a market and solve it.

    Raises
    ------
    PrillmError
        When the file or the combination is at fault.
    KeyboardInterrupt
        When Ctrl-C comes before any price was found.
    """
    settings, file = task.settings, task.file or read_market(find("instances", task.name))
    if settings.outside is not None:
        file = replace(file, market=with_outside(file.market, settings.outside))
    return solve(
        file,
        solver=settings.solver,
        model=settings.model,
        abstraction=settings.abstraction,
        certify=settings.certify,
        **vars(settings.limits),
    )


def solve_all(
    engine: Engine, tasks: Sequence[Task], kept: Kept | None = None
) -> Iterator[tuple[int, Result | Refused]]:
    """Yield the number of each task and its result: first those that are kept, then the others as they are done.

    Parameters
    ----------
    kept
        Results of an earlier run, to which those of this one are added.

    Raises
    ------
    PrillmError
        When a cluster cannot be reached, or is lost, or a result cannot be kept.
    """
    unsolved = []
    for number, task in enumerate(tasks):
        if kept is not None and (known := kept.result_of(task)) is not None:
            yield number, known
        else:
            unsolved.append(number)
    waiting = [tasks[number] for number in unsolved]
    units = waiting if engine.address is None else map(_with_content, waiting)
    for count, (place, answer) in enumerate(spread(engine, result_of, units), start=1):
        name = waiting[place].name
        if isinstance(answer, Lost):
            answer = Refused(f"{name}: {answer.message}", True)
        elif kept is not None and isinstance(answer, Result):
            kept.add(answer)
        _log.info("%d of %d done, last %s", count, len(waiting), name)
        yield unsolved[place], answer


def _with_content(task: Task) -> Task:
    """The task with its market, or as it is where that cannot be read: the worker will find out, and say so."""
    try:
        return Task(task.name, task.settings, read_market(find("instances", task.name)))
    except PrillmError:
        return task


def result_of(task: Task) -> Result | Refused:
    """Solve a market among others, which are not to suffer for its faults.

    Raises
    ------
    KeyboardInterrupt
        When Ctrl-C comes before any price was found.
    """
    try:
        return solve_task(task).whole()
    except PrillmError as error:
        return Refused(error.message)
    except MemoryError:
        return Refused(f"{task.name}: {OUT_OF_MEMORY}")
    except Exception as error:
        why = f"internal error: {type(error).__name__}: {error}; solve it alone with {argument('verbose')}"
        return Refused(f"{task.name}: {why}", True)


class Kept:
    """Results kept beside a file that is to hold them all: what was done when a run was killed is not done again.

    Parameters
    ----------
    path
        The file they are kept in.
    resume
        Whether those it holds count.

    Raises
    ------
    PrillmError
        When the file cannot be read or written, or is none of ours.
    """

    def __init__(self, path: Path, settings: Settings, *, resume: bool) -> None:
        self._settings = _stamp(settings)
        self._lines = Lines(path, "settings", resume=resume)
        self._known: dict[str, tuple[int, Result]] = {}
        for number, stored in enumerate(self._lines.kept, start=1):
            try:
                if stored["settings"] == self._settings:
                    self._known[stored["result"]["instance_sha256"]] = number, result_from_json(stored["result"])
            except (AttributeError, KeyError, TypeError, ValueError):
                raise self._lines.fault(number) from None

    def result_of(self, task: Task) -> Result | None:
        """The kept result of the market that a task's file holds now, or None.

        Raises
        ------
        PrillmError
            When what was kept contradicts itself or the market.
        """
        if not self._known:
            return None
        try:
            file = read_market(find("instances", task.name))
        except PrillmError:
            return None
        if file.sha256 not in self._known:
            return None
        number, result = self._known[file.sha256]
        outside = task.settings.outside
        market = file.market if outside is None else with_outside(file.market, outside)
        with of_line(self._lines, number):
            recheck(market, result, task.settings.limits.gap)
        return result

    def add(self, result: Result) -> None:
        """Keep a result, on disk before this returns; one that failed or Ctrl-C cut short is to be found again."""
        if not result.interrupted and result.status is not Status.ERROR:
            self._lines.add({"settings": self._settings, "result": result.to_dict()})

    def remove(self) -> None:
        """Remove the file, once all results are where they belong."""
        self._lines.remove()


def _stamp(settings: Settings) -> dict[str, Any]:
    """What makes two runs the same besides the market: names, what stands behind them now, and our version."""
    stamp: dict[str, Any] = asdict(settings) | {"version": __version__, "solver_profile": None, "model_profile": None}
    with suppress(PrillmError):  # the run will say what is wrong with it
        if settings.solver != "auto":
            stamp["solver_profile"] = repr(solver_profile(settings.solver))
        if settings.model is not None:
            stamp["model_profile"] = repr(model_profile(settings.model))
    weights = settings.abstraction and settings.abstraction.weights
    if weights and Path(weights).is_file():
        stamp["weights_sha256"] = sha256(Path(weights).read_bytes()).hexdigest()
    return stamp
