"""prillm-or solve: the best price of each market, and what is proven of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from prillm_or.cli.common import (
    Address,
    EngineName,
    Instances,
    Jobs,
    Json,
    Outside,
    Verbose,
    check_files,
    check_shipped,
    exit_code,
    finish,
    here,
    model_here,
    outside_field,
    outside_note,
    progress,
    read_instance,
    solver_here,
    weights_here,
)
from prillm_or.cli.robust import solve_robust
from prillm_or.cli.split import solve_split
from prillm_or.cli.streams import report
from prillm_or.errors import CombinationError, PrillmError
from prillm_or.limits import Limits
from prillm_or.models.registry import model_profile
from prillm_or.result import Result, results_parts
from prillm_or.solving.batch import Kept, Refused, Settings, Task, solve_all, solve_task
from prillm_or.workers.engine import Engine, engine_of

if TYPE_CHECKING:
    from prillm_or.abstraction.registry import AbstractionChoice


def command(
    context: typer.Context,
    instances: Instances,
    solver: Annotated[str, typer.Option(help="Who computes: a name of `prillm-or solvers`, or auto.")] = "auto",
    model: Annotated[str | None, typer.Option(help="The formulation an algebraic solver gets.")] = None,
    abstraction: Annotated[
        str, typer.Option(help="How to make rivals fewer first: a name of `prillm-or models`, or none.")
    ] = "none",
    keep: Annotated[int | None, typer.Option(help="Rivals that an abstraction leaves; 2 if not given.")] = None,
    refine: Annotated[bool, typer.Option("--refine", help="Anchor anew at the price found, to a standstill.")] = False,
    weights: Annotated[
        str | None, typer.Option(metavar="FILE", help="Weights of a learned abstraction, other than the shipped ones.")
    ] = None,
    certify: Annotated[bool, typer.Option("--certify", help="Prove a bound where the method proves none.")] = False,
    gap: Annotated[float | None, typer.Option(min=0.0, help="Relative gap to prove; 1e-4 if not given.")] = None,
    time_limit: Annotated[float | None, typer.Option(min=0.0, help="Seconds for each market.")] = None,
    threads: Annotated[int, typer.Option(min=1, help="Threads of an algebraic solver.")] = 1,
    seed: Annotated[int, typer.Option(min=0, help="Seed of an algebraic solver.")] = 0,
    write_model: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Export the reformulated programme, too: .lp, .mps or .nl; one market."),
    ] = None,
    robust: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Price over N draws of the preferences: best mean, best worst case."),
    ] = None,
    draws: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE|DIR",
            help="With --robust: draws.json of a calibration, or a folder of markets; if not given, draws.json beside "
            "the market.",
        ),
    ] = None,
    outside: Outside = None,
    split: Annotated[
        Literal["users"] | None,
        typer.Option(help="Split the users of one market: over workers with --engine dask, else in this process."),
    ] = None,
    jobs: Jobs = 1,
    engine: EngineName = "local",
    address: Address = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Of several markets, skip those that a run with the same --json FILE did.")
    ] = False,
    json: Json = None,
    verbose: Verbose = False,
) -> int:
    """Find the price with the highest profit at the users' equilibrium.

    \b
    Examples:
      prillm-or solve coding-13
      prillm-or solve coding-13 --model kkt-bigm --solver highs --gap 1e-4
      prillm-or solve coding-13 --abstraction anchored --keep 2 --refine --certify
      prillm-or solve instances/*.json --jobs 4 --json results.json --resume
      prillm-or solve premium-4 --outside -1
      prillm-or solve fitted/coding-13-2026-07-07.json --robust 200
      prillm-or solve large.json --split users --engine dask --jobs 8
    """
    if split is not None:
        return solve_split(context, instances, engine, address, json, verbose)
    if robust is not None:
        return solve_robust(context, instances, robust, draws, outside, json, verbose)
    if draws is not None:
        raise CombinationError("--draws: only with --robust N, which prices over the first N of them")
    solver, model, weights = solver_here(solver), model_here(model), weights_here(abstraction, weights)
    fewer = _abstraction(abstraction, keep, refine, weights)
    limits = Limits(1e-4 if gap is None else gap, time_limit, threads, seed)
    check_files(json, write_model, reads=[*(here("instances", name) for name in instances), solver, model, weights])
    if write_model is not None:
        _export(instances, model, fewer, write_model, outside)
    over = engine_of(engine, jobs, address)
    if over.address is not None:
        check_shipped(solver, model, weights)
    elif len(instances) == 1:
        over = Engine()  # where Ctrl-C gives the best price so far
    settings = Settings(solver, model, limits, fewer, certify, outside)
    tasks = [Task(here("instances", name), settings) for name in instances]
    kept = _kept(json, settings, resume) if len(tasks) > 1 or resume else None
    done: dict[int, Result | Refused] = {}
    interrupted, code = False, 0
    try:
        with progress(tasks[0].name if len(tasks) == 1 else f"{len(tasks)} markets", verbose=verbose):
            for number, answer in _answers(tasks, over, kept):
                done[number] = answer
                if isinstance(answer, Refused):
                    report(answer.message)
                elif answer.interrupted:
                    report(f"interrupted: the best price so far of {tasks[number].name}, {len(done)} of {len(tasks)}")
                    interrupted = True
                    break
    except KeyboardInterrupt:
        report(f"interrupted: {len(done)} of {len(tasks)} done")
        interrupted = True
    except PrillmError as failure:  # the cluster is lost, or results cannot be kept: what is done stands
        report(failure)
        code = 2
    results = [answer for _, answer in sorted(done.items(), key=lambda item: item[0]) if isinstance(answer, Result)]
    documents = [result.to_dict() | outside_field(outside) for result in results]
    if documents:  # nothing never takes the place of an earlier file
        shown = results_parts(results, outside_note(outside), verbose=verbose)
        finish(shown, documents if len(instances) > 1 else documents[0], json)
    if interrupted:
        return 130
    if kept is not None and len(results) == len(tasks):
        kept.remove()
    return max([code, *(_code(answer, gap is not None) for answer in done.values())])


def _kept(json: str | None, settings: Settings, resume: bool) -> Kept | None:
    """Where results are kept as they come: beside the file they are written to at the end."""
    if json is None or json == "-":
        if resume:
            raise CombinationError("--resume: results are kept beside a file; name it, as in --json results.json")
        return None
    path = Path(json)
    if path.exists() and not path.is_file() and not path.is_dir():  # a device or a pipe, which has no neighbours
        if resume:
            raise CombinationError(f"--resume: {json} is no file that results could be kept beside; name one")
        return None
    return Kept(Path(f"{json}.parts"), settings, resume=resume)


def _answers(tasks: Sequence[Task], engine: Engine, kept: Kept | None) -> Iterable[tuple[int, Result | Refused]]:
    """The number of each task and its result; errors of one alone are for `run`: there is nobody else to spare."""
    if len(tasks) == 1 and engine.here and kept is None:
        return [(0, solve_task(tasks[0]))]
    return solve_all(engine, tasks, kept)


def _abstraction(name: str, keep: int | None, refine: bool, weights: str | None) -> AbstractionChoice | None:
    if name == "none":
        given = [("--keep", keep is not None), ("--refine", refine), ("--weights", weights is not None)]
        if flags := [flag for flag, is_given in given if is_given]:
            raise CombinationError(f"{', '.join(flags)}: only with an --abstraction, as in --abstraction anchored")
        return None
    from prillm_or.abstraction.registry import AbstractionChoice

    return AbstractionChoice(name, 2 if keep is None else keep, refine, weights)


def _export(
    instances: Sequence[str],
    model: str | None,
    abstraction: AbstractionChoice | None,
    path: Path,
    outside: float | None,
) -> None:
    from prillm_or.models.export import export_model

    if len(instances) > 1:
        raise CombinationError("--write-model takes one market at a time")
    if abstraction is not None and abstraction.refine:
        raise CombinationError("--write-model: with --refine there are several small markets; leave --refine out")
    profile = model_profile(model or "kkt-bigm")
    market = read_instance(instances[0], outside).market
    if abstraction is not None:
        market = abstraction.abstract(market).market
    export_model(market, profile.build, path)


def _code(result: Result | Refused, gap_asked: bool) -> int:
    if isinstance(result, Refused):
        return 3 if result.crashed else 2
    return exit_code(result.status, gap_asked)
