"""prillm-or solve: the best price of each market, and what is proven of it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from prillm_or.cli.common import Instances, Json, Verbose, console, number, progress, read_instance, report, save, table
from prillm_or.errors import CombinationError, PrillmError
from prillm_or.files import result_to_json
from prillm_or.profiles import model_profile
from prillm_or.registry import load_build
from prillm_or.result import Method, Result, Status
from prillm_or.solve import solve
from prillm_or.solvers.base import Limits

if TYPE_CHECKING:
    from prillm_or.abstraction.choice import AbstractionChoice


def command(
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
    certify: Annotated[
        bool, typer.Option("--certify", help="Prove a bound by bisect where the method proves none; one price.")
    ] = False,
    gap: Annotated[float | None, typer.Option(min=0.0, help="Relative gap to prove; 1e-4 if not given.")] = None,
    time_limit: Annotated[float | None, typer.Option(min=0.0, help="Seconds for each market.")] = None,
    threads: Annotated[int, typer.Option(min=1, help="Threads of an algebraic solver.")] = 1,
    seed: Annotated[int, typer.Option(min=0, help="Seed of an algebraic solver.")] = 0,
    write_model: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Export the reformulated programme, too: .lp, .mps or .nl; one market."),
    ] = None,
    json: Json = None,
    verbose: Verbose = False,
) -> int:
    """Find the price with the highest profit at the users' equilibrium.

    \b
    Examples:
      prillm-or solve coding-13
      prillm-or solve coding-13 --model kkt-bigm --solver highs --gap 1e-4
      prillm-or solve coding-13 --abstraction anchored --keep 2 --refine --certify
      prillm-or solve instances/*.json --json results.json
    """
    fewer = _abstraction(abstraction, keep, refine, weights)
    limits = Limits(1e-4 if gap is None else gap, time_limit, threads, seed)
    if write_model is not None:
        _export(instances, model, fewer, write_model)
    results: list[Result] = []
    code = 0
    for name in instances:
        try:
            with progress(name, verbose=verbose):
                results.append(_solve_one(name, solver, model, limits, fewer, certify))
        except PrillmError as error:
            report(error)
            code = max(code, 2)
            continue
        except KeyboardInterrupt:
            report(f"{name}: interrupted before a price was found")
            code = 130
            break
        code = max(code, _code(results[-1], gap is not None))
        if results[-1].interrupted:
            code = 130
            break
    if json != "-" and results:
        _show(results, verbose=verbose)
    documents = [result_to_json(result) for result in results]
    if len(instances) > 1:
        save(documents, json)
    elif documents:
        save(documents[0], json)
    return code


def _abstraction(name: str, keep: int | None, refine: bool, weights: str | None) -> AbstractionChoice | None:
    if name == "none":
        given = [("--keep", keep is not None), ("--refine", refine), ("--weights", weights is not None)]
        if flags := [flag for flag, is_given in given if is_given]:
            raise CombinationError(f"{', '.join(flags)}: only with an --abstraction, as in --abstraction anchored")
        return None
    from prillm_or.abstraction.choice import AbstractionChoice

    return AbstractionChoice(name, 2 if keep is None else keep, refine, weights)


def _solve_one(
    name: str, solver: str, model: str | None, limits: Limits, abstraction: AbstractionChoice | None, certify: bool
) -> Result:
    began = time.perf_counter()
    instance = read_instance(name)
    read_s = time.perf_counter() - began
    return solve(
        instance.market,
        solver=solver,
        model=model,
        limits=limits,
        abstraction=abstraction,
        certify=certify,
        sha256=instance.sha256,
        read_s=read_s,
    )


def _export(instances: Sequence[str], model: str | None, abstraction: AbstractionChoice | None, path: Path) -> None:
    from prillm_or.models.export import export_model

    if len(instances) > 1:
        raise CombinationError("--write-model takes one market at a time")
    if abstraction is not None and abstraction.refine:
        raise CombinationError("--write-model: with --refine there are several small markets; leave --refine out")
    profile = model_profile(model or "kkt-bigm")
    build = load_build(profile.formulation)
    market = read_instance(instances[0]).market
    if abstraction is not None:
        market = abstraction.abstract(market).market
    export_model(market, lambda market, best: build(market, profile.options, best), path)


def _code(result: Result, gap_asked: bool) -> int:
    """0 if the gap was reached, or none was asked of a method that proves none; 3 if the method contradicts itself."""
    if result.status is Status.ERROR:
        return 3
    if result.status is Status.OPTIMAL or (result.status is Status.HEURISTIC and not gap_asked):
        return 0
    return 1


def _method(method: Method) -> str:
    name = "/".join(filter(None, (method.solver, method.model)))
    return name if method.abstraction is None else f"{name}, {method.abstraction}, keep {method.keep}"


def _show(results: Sequence[Result], *, verbose: bool) -> None:
    screen = console()
    columns = ("instance", "method", "status", "price", "profit", "today", "bound", "gap", "KKT", "regret", "time")
    rows = [
        (
            result.instance,
            _method(result.method),
            result.status.value,
            " ".join(f"{provider}={number(price)}" for provider, price in result.prices.items()),
            number(result.profit),
            "-" if result.today is None else number(result.today.profit),
            number(result.upper_bound),
            number(result.gap, 2),
            number(result.certificate.kkt_residual, 2),
            number(result.certificate.max_regret, 2),
            f"{result.time_s.total:.3f} s",
        )
        for result in results
    ]
    screen.print(table("best prices", columns, rows, right=columns[4:]))
    for result in results:
        lines = result.notes if verbose or result.status is Status.ERROR else ()
        for line in lines:
            screen.print(f"{result.instance}: {line}")
