"""prillm-or equilibrium: who routes what where at given prices, with its certificate."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from prillm_or.cli.common import (
    Json,
    OneInstance,
    Outside,
    Plot,
    check_files,
    finish,
    outside_field,
    outside_note,
    read_instance,
)
from prillm_or.errors import CombinationError

if TYPE_CHECKING:
    from prillm_or.users.user_equilibrium import UserEquilibrium


def command(
    instance: OneInstance,
    price: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ID=VALUE",
            help="Price of a provider, the leader's or a rival's, or the factor that the leader decides; of one "
            "component ID.COMPONENT=VALUE. Others as today.",
        ),
    ] = None,
    plot: Plot = None,
    outside: Outside = None,
    json: Json = None,
) -> int:
    """Find the users' equilibrium at given prices, and certify it; --plot draws its flows.

    \b
    Example:
      prillm-or equilibrium coding-13 --price step-3.7-flash=0.12 --plot flows.svg
    """
    from prillm_or.users.user_equilibrium import equilibrium

    file = read_instance(instance, outside)
    check_files(json, plot=plot, reads=[file.path])
    found = equilibrium(file, _prices(price or []))
    draw = None if plot is None else partial(_draw, plot, found)
    finish(found.parts(outside_note(outside)), found.to_dict() | outside_field(outside), json, draw)
    return 0


def _draw(path: Path, found: UserEquilibrium) -> None:
    from prillm_or.output.plots import save_plot
    from prillm_or.users.flows_plot import flows_height

    save_plot(path, found.plot, flows_height(found.market))


def _prices(wishes: list[str]) -> dict[str, float]:
    """Prices by id; whether there are such providers and prices is for `equilibrium` to say."""
    prices, faults = {}, []
    for wish in wishes:
        name, _, value = wish.rpartition("=")
        try:
            prices[name] = float(value)
        except ValueError:
            faults.append(f"--price {wish}: expected ID=VALUE with a number after the '=', got {value!r}")
    if faults:
        raise CombinationError("\n".join(faults))
    return prices
