"""prillm-or solve: the best price of each market, and what is proven of it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from prillm_or.cli.common import Instances, Json, Verbose, console, number, progress, read_instance, report, save, table
from prillm_or.errors import CombinationError, PrillmError
from prillm_or.files import result_to_json
from prillm_or.profiles import model_profile
from prillm_or.registry import load_build
from prillm_or.result import Result, Status
from prillm_or.solve import solve
from prillm_or.solvers.base import Limits


def command(
    instances: Instances,
    solver: Annotated[str, typer.Option(help="Who computes: a name of `prillm-or solvers`, or auto.")] = "auto",
    model: Annotated[str | None, typer.Option(help="The formulation an algebraic solver gets.")] = None,
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
      prillm-or solve instances/*.json --json results.json
    """
    limits = Limits(1e-4 if gap is None else gap, time_limit, threads, seed)
    if write_model is not None:
        _export(instances, model, write_model)
    results: list[Result] = []
    code = 0
    for name in instances:
        try:
            with progress(name, verbose=verbose):
                results.append(_solve_one(name, solver, model, limits))
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


def _solve_one(name: str, solver: str, model: str | None, limits: Limits) -> Result:
    began = time.perf_counter()
    instance = read_instance(name)
    read_s = time.perf_counter() - began
    return solve(
        instance.market, solver=solver, model=model, limits=limits, sha256=instance.sha256, read_s=read_s
    )


def _export(instances: Sequence[str], model: str | None, path: Path) -> None:
    from prillm_or.models.export import export_model

    if len(instances) > 1:
        raise CombinationError("--write-model takes one market at a time")
    profile = model_profile(model or "kkt-bigm")
    build = load_build(profile.formulation)
    market = read_instance(instances[0]).market
    export_model(market, lambda market, best: build(market, profile.options, best), path)


def _code(result: Result, gap_asked: bool) -> int:
    """0 if the gap was reached, or none was asked of a method that proves none; 3 if the method contradicts itself."""
    if result.status is Status.ERROR:
        return 3
    if result.status is Status.OPTIMAL or (result.status is Status.HEURISTIC and not gap_asked):
        return 0
    return 1


def _show(results: Sequence[Result], *, verbose: bool) -> None:
    screen = console()
    columns = ("instance", "method", "status", "price", "profit", "today", "bound", "gap", "KKT", "regret", "time")
    rows = [
        (
            result.instance,
            "/".join(filter(None, (result.method.solver, result.method.model))),
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
