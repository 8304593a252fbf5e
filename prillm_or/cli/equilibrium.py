"""prillm-or equilibrium: who routes what where at given prices, with its certificate."""

from __future__ import annotations

from typing import Annotated

import typer

from prillm_or.cli.common import (
    Json,
    OneInstance,
    Outside,
    Plot,
    check_plot,
    outside_field,
    outside_note,
    read_instance,
    save,
)
from prillm_or.errors import CombinationError
from prillm_or.output.tables import show


def command(
    instance: OneInstance,
    price: Annotated[
        list[str] | None,
        typer.Option(metavar="ID=VALUE", help="Price of a provider, the leader's or a rival's; others as today."),
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

    check_plot(plot)
    found = equilibrium(read_instance(instance, outside), _prices(price or []))
    if json != "-":
        show(found.parts(outside_note(outside)))
    save(found.to_dict() | outside_field(outside), json)
    if plot is not None:
        from prillm_or.output.plots import save_plot
        from prillm_or.users.flows_plot import flows_height

        save_plot(plot, found.plot, flows_height(found.market))
    return 0


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
