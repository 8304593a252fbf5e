"""The commands and their names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import typer
from typer.core import TyperGroup
from typer.exceptions import TyperException

from prillm_or import __version__
from prillm_or.cli import (
    backtest,
    calibrate,
    compare,
    compete,
    curve,
    equilibrium,
    experiment,
    explain,
    generate,
    import_openrouter,
    instances,
    models,
    page,
    prices,
    robust,
    solve,
    solvers,
    train,
    validate,
    watch,
)
from prillm_or.cli.streams import printing
from prillm_or.errors import PrillmError, unknown_name


class _Commands(TyperGroup):
    """Commands by name; of what is none, the nearest are told."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args and args[0] not in self.commands:
            raise unknown_name("command", args[0], self.commands)
        return super().resolve_command(ctx, args)


app = typer.Typer(
    name="prillm-or",
    cls=_Commands,
    help="Price LLM services: the price with the highest profit at the users' equilibrium, proven.",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
)
app.command("solve")(solve.command)
app.command("compare")(compare.command)
app.command("compete")(compete.command)
app.command("equilibrium")(equilibrium.command)
app.command("curve")(curve.command)
app.command("explain")(explain.command)
app.command("robust")(robust.command)
app.command("experiment")(experiment.command)
app.command("generate")(generate.command)
app.command("calibrate")(calibrate.command)
app.command("backtest")(backtest.command)
app.command("train")(train.command)
app.command("import-openrouter")(import_openrouter.command)
app.command("prices")(prices.command)
app.command("validate")(validate.command)
app.command("page")(page.command)
app.command("watch")(watch.command)
app.command("models")(models.command)
app.command("solvers")(solvers.command)
app.command("instances")(instances.command)


@app.callback(invoke_without_command=True)
def top(version: bool = typer.Option(False, "--version", help="Print the version and stop.")) -> None:
    """Price LLM services: the price with the highest profit at the users' equilibrium, proven.

    `prillm-or COMMAND --help` shows what a command does, with an example.
    """
    if version:
        typer.echo(f"prillm-or {__version__}")
        raise typer.Exit


def invoke(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code.

    Raises
    ------
    PrillmError
        When the arguments are none of the command's, or whatever it raises.
    """
    command = typer.main.get_command(app)
    try:
        # Not by its `main`, which makes codes of its own of Ctrl-C and of pipes that nobody reads.
        with command.make_context("prillm-or", list(arguments)) as context:
            code = int(command.invoke(context) or 0)
    except typer.Exit as leave:
        return leave.exit_code
    except TyperException as error:
        message = error.format_message().replace("Value error, ", "")
        raise PrillmError(f"{message}\nTry `prillm-or --help`, or --help after a command.") from None
    with printing():
        return code
