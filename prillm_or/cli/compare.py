"""prillm-or compare: several methods side by side against the proven optimum, one run."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from prillm_or.cli.common import (
    Address,
    EngineName,
    Jobs,
    Json,
    Outside,
    Verbose,
    check_files,
    check_shipped,
    exit_code,
    finish,
    known_here,
    outside_note,
    progress,
    read_instance,
    solver_here,
    weights_here,
)
from prillm_or.cli.quiet import quiet
from prillm_or.cli.streams import report
from prillm_or.errors import CombinationError, with_flags
from prillm_or.limits import Limits
from prillm_or.models.registry import MODELS
from prillm_or.output.checking import check_folder, check_ours
from prillm_or.output.tables import console
from prillm_or.workers.engine import engine_of

if TYPE_CHECKING:
    from rich.progress import Progress

    from prillm_or.comparison.method import MethodSpec
    from prillm_or.comparison.plan import Plan, Record, Unit


def command(
    instances: Annotated[
        list[str] | None,
        typer.Argument(metavar="INSTANCE...", help="Market files, or names of shipped ones.", show_default=False),
    ] = None,
    method: Annotated[
        list[str] | None,
        typer.Option(metavar="M", help="SOLVER[/PROFILE][:MODEL][:ABSTRACTION[@K][+refine]]; once for each method."),
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="table-1 or table-3 of the paper; instances and methods given replace its own."
        ),
    ] = None,
    repeat: Annotated[int, typer.Option(min=1, help="Runs of each method, in turns.")] = 3,
    gap: Annotated[float | None, typer.Option(min=0.0, help="Relative gap to prove; 1e-4 if not given.")] = None,
    time_limit: Annotated[float | None, typer.Option(min=0.0, help="Seconds for each run.")] = None,
    threads: Annotated[int, typer.Option(min=1, help="Threads of an algebraic solver.")] = 1,
    seed: Annotated[int, typer.Option(min=0, help="Seed of an algebraic solver.")] = 0,
    outside: Outside = None,
    jobs: Jobs = 1,
    engine: EngineName = "local",
    address: Address = None,
    folder: Annotated[
        Path | None,
        typer.Option(
            "--report",
            metavar="DIR",
            help="Write report.json, .csv, .md and .html there; one already there is replaced.",
        ),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Keep the runs finished in DIR before.")] = False,
    json: Json = None,
    verbose: Verbose = False,
) -> int:
    """Run methods side by side, repeated and in turns, and show how close to the proven optimum each gets, how fast.

    \b
    Examples:
      prillm-or compare coding-13 --method path --method bisect --method highs:kkt-bigm --report out
      prillm-or compare coding-13 --method highs:kkt-bigm --method highs:kkt-bigm:anchored@2+refine
      prillm-or compare --preset table-1 --time-limit 60 --report out --resume
      prillm-or compare --preset table-1 --engine dask --address tcp://127.0.0.1:8786 --report out
    """
    limits = Limits(1e-4 if gap is None else gap, time_limit, threads, seed)
    plan = _plan(instances or [], method or [], preset, repeat, limits, outside)
    if resume and folder is None:
        raise CombinationError("--resume: --report names the folder to go on with")
    _check_outputs(plan, folder, json)
    from prillm_or.comparison.comparison import compare
    from prillm_or.comparison.runs import crowding

    spread = engine_of(engine, jobs, address)
    if spread.address is not None:
        for spec in plan.methods:
            check_shipped(spec.solver, spec.model, None if spec.abstraction is None else spec.abstraction.weights)
    if warning := crowding(jobs, threads):
        report(warning)
    with _shown(plan, verbose=verbose) as bar, quiet():
        done = compare(
            plan,
            engine=spread,
            folder=folder,
            resume=resume,
            on_begin=bar.begin,
            on_end=bar.end,
            wording=with_flags,
        )
    if done.interrupted and not done.records:
        raise KeyboardInterrupt

    def write() -> list[Path]:
        from prillm_or.report.gap_folder import write_report

        assert folder is not None
        with progress("report", verbose=verbose):
            return write_report(done, folder)

    finish(done.parts(outside_note(outside)), done.to_dict(), json, None if folder is None else write)
    if done.interrupted:
        report("interrupted: the report holds the runs that were finished")
        return 130
    if done.failure is not None:
        report(done.failure)
        return 2
    return max((_code(record, gap is not None) for record in done.records), default=0)


def _plan(
    names: list[str],
    methods: list[str],
    preset_name: str | None,
    repeat: int,
    limits: Limits,
    outside: float | None,
) -> Plan:
    from prillm_or.comparison.method import parse_method
    from prillm_or.comparison.plan import Plan
    from prillm_or.comparison.presets import preset

    if preset_name is not None:
        chosen = preset(preset_name)
        names, methods = names or list(chosen.instances), methods or chosen.methods()
    if not names:
        raise CombinationError("INSTANCE: name one or more, or a --preset")
    if not methods:
        raise CombinationError("--method: give one or more, as in --method path --method highs:kkt-bigm, or a --preset")
    specs = tuple(_own_weights(parse_method(_method_here(text))) for text in methods)
    read = tuple(read_instance(name, outside) for name in names)
    return Plan(read, specs, limits, repeat, preset_name, outside)


def _check_outputs(plan: Plan, folder: Path | None, json: str | None) -> None:
    from prillm_or.output.canvas import need_pictures
    from prillm_or.report.gap_folder import MARKS

    outputs = []
    if folder is not None:
        need_pictures(f"--report {folder}")
        check_folder(folder, parents=True)
        outputs = [folder / name for name in MARKS] if folder.exists() else []
    profiles = [name for spec in plan.methods for name in (spec.solver, spec.model)]
    check_files(json, *outputs, reads=[*(file.path for file in plan.files), *profiles])
    check_ours({path: MARKS[path.name] for path in outputs})


def _method_here(text: str) -> str:
    """A method whose solver and model are named as the library takes them."""
    from prillm_or.comparison.method import ABSTRACTION_NAMES, is_abstraction

    solver, *rest = (part.strip() for part in text.split(":"))
    if rest and rest[0] and not is_abstraction(rest[0]):
        rest[0] = known_here("models", rest[0], also=(*MODELS, *ABSTRACTION_NAMES))
    return ":".join([solver and solver_here(solver), *rest])


def _own_weights(method: MethodSpec) -> MethodSpec:
    """The method with the working directory's weights of its abstraction, if there are any."""
    abstraction = method.abstraction
    if abstraction is None:
        return method
    return replace(method, abstraction=replace(abstraction, weights=weights_here(abstraction.name, None)))


def _code(record: Record, gap_asked: bool) -> int:
    """What `solve` would end with: 2 where a method cannot run, 3 where it broke or contradicts itself."""
    return 2 if record.failure == "refused" else exit_code(record.row["status"], gap_asked)


class _Bar:
    """Tells of units as they begin and end; this one is silent."""

    def begin(self, unit: Unit) -> None:
        """A unit begins."""

    def end(self, record: Record) -> None:
        """A unit has ended."""


@contextmanager
def _shown(plan: Plan, *, verbose: bool) -> Iterator[_Bar]:
    """Log lines with `verbose`, a bar on a terminal, else nothing."""
    if verbose:
        with progress("compare", verbose=True):
            yield _Lines()
    elif sys.stderr.isatty():
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.description}"))
        with Progress(*columns, console=console(), transient=True) as drawn:
            yield _Drawn(drawn, len(list(plan.units())))
    else:
        yield _Bar()


class _Lines(_Bar):
    def begin(self, unit: Unit) -> None:
        report(f"{unit}: begins")

    def end(self, record: Record) -> None:
        report(f"{record.unit}: {record.row['status']}, {record.row['time_s']['total']:.3f} s")


class _Drawn(_Bar):
    def __init__(self, drawn: Progress, total: int) -> None:
        self._drawn = drawn
        self._task = drawn.add_task("", total=total)

    def begin(self, unit: Unit) -> None:
        self._drawn.update(self._task, description=str(unit))

    def end(self, record: Record) -> None:
        self._drawn.advance(self._task)
