"""The command line, one file a command; `main` turns every ending into an exit code.

0 done, 1 finished without reaching what was asked, 2 bad input or a missing solver, 3 an internal error, 130 Ctrl-C.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import typer
from typer.core import TyperGroup
from typer.exceptions import TyperException

from prillm_or import __version__
from prillm_or.cli import (
    calibrate,
    compare,
    compete,
    curve,
    equilibrium,
    explain,
    generate,
    import_openrouter,
    instances,
    models,
    page,
    robust,
    solve,
    solvers,
    train,
    validate,
    watch,
)
from prillm_or.cli.common import report
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
app.command("generate")(generate.command)
app.command("calibrate")(calibrate.command)
app.command("train")(train.command)
app.command("import-openrouter")(import_openrouter.command)
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


def main() -> None:
    """Entry point of the executable `prillm-or`."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code."""
    try:
        return int(app(list(arguments), prog_name="prillm-or", standalone_mode=False) or 0)
    except TyperException as error:
        message = error.format_message().replace("Value error, ", "")
        print(f"{message}\nTry `prillm-or --help`, or --help after a command.", file=sys.stderr)
        return 2
    except PrillmError as error:
        report(error)
        return 2
    except (KeyboardInterrupt, typer.Abort):
        print("interrupted: nothing was found yet", file=sys.stderr)
        return 130
    except BrokenPipeError:
        sys.stderr.close()  # whoever read us has left; there is nobody to tell
        return 0
    except Exception as error:  # the last line of defence: a user sees no traceback
        print(f"internal error: {type(error).__name__}: {error}; run with --verbose and report it", file=sys.stderr)
        if "--verbose" in arguments:
            raise
        return 3
