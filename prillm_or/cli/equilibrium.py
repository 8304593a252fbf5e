"""prillm-or equilibrium: who routes what where at given prices, with its certificate."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Annotated, Any

import numpy as np
import typer

from prillm_or.cli.common import (
    Json,
    OneInstance,
    Outside,
    Plot,
    check_plot,
    console,
    number,
    outside_field,
    outside_note,
    read_instance,
    save,
    table,
)
from prillm_or.errors import CombinationError
from prillm_or.market.market import Array, Market
from prillm_or.result import Certificate
from prillm_or.users.certificate import certify, profit_of
from prillm_or.users.equilibrium import Equilibrium, equilibrium

_MOST_FLOWS = 400


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
    check_plot(plot)
    market = _with_prices(read_instance(instance, outside).market, price or [])
    if market.today is None:
        absent = [name for name, j in zip(market.leader_ids, market.leader, strict=True) if np.isnan(market.price[j])]
        raise CombinationError(f"{market.name}: no price today for {', '.join(absent)}: give --price {absent[0]}=VALUE")
    found = equilibrium(market, market.today)
    certificate = certify(market, market.today, found.flow)
    if json != "-":
        _show(market, found, certificate, outside)
    save(equilibrium_to_json(market, found, certificate) | outside_field(outside), json)
    if plot is not None:
        from prillm_or.output.plots import save_plot
        from prillm_or.users.flows_plot import flows_height, plot_flows

        save_plot(plot, partial(plot_flows, market=market, found=found), flows_height(market))
    return 0


def equilibrium_to_json(market: Market, found: Equilibrium, certificate: Certificate) -> dict[str, Any]:
    """Give an equilibrium the fields of the file format; flows that are zero are left out."""
    flows = {
        user: {market.provider_ids[j]: float(found.flow[i, j]) for j in found.flow[i].nonzero()[0]}
        for i, user in enumerate(market.user_ids)
    }
    return {
        "format": "prillm-or/equilibrium@1",
        "prices": _by_provider(market, market.price),
        "loads": _by_provider(market, found.load),
        "flows": flows,
        "multipliers": dict(zip(market.user_ids, found.multiplier.tolist(), strict=True)),
        "profit": profit_of(market, found.prices, found.load),
        "certificate": {"kkt_residual": certificate.kkt_residual, "max_regret": certificate.max_regret},
    }


def _with_prices(market: Market, wishes: list[str]) -> Market:
    """The market with the prices of `--price ID=VALUE` as today's."""
    prices = market.price.copy()
    faults = []
    for wish in wishes:
        name, _, value = wish.rpartition("=")
        if name not in market.provider_ids:
            faults.append(f"--price {wish}: expected ID=VALUE, where ID is one of {', '.join(market.provider_ids)}")
            continue
        try:
            prices[market.provider_ids.index(name)] = _price(value)
        except ValueError:
            faults.append(f"--price {wish}: expected a finite number >= 0 after the '=', got {value!r}")
    if faults:
        raise CombinationError("\n".join(faults))
    return replace(market, price=prices)


def _price(text: str) -> float:
    value = float(text)
    if not (np.isfinite(value) and value >= 0):
        raise ValueError
    return value


def _by_provider(market: Market, values: Array) -> dict[str, float]:
    return dict(zip(market.provider_ids, values.tolist(), strict=True))


def _show(market: Market, found: Equilibrium, certificate: Certificate, outside: float | None) -> None:
    screen = console()
    rows = [
        (
            name + (" (leader)" if j in market.leader else ""),
            number(market.price[j]),
            number(found.load[j]),
            number(found.load[j] / market.capacity[j]),
            str(int((found.flow[:, j] > 0).sum())),
        )
        for j, name in enumerate(market.provider_ids)
    ]
    columns = ("provider", "price", "load", "congestion", "users")
    screen.print(table(f"{market.name}{outside_note(outside)}: providers", columns, rows, right=columns[1:]))
    if market.n * market.m <= _MOST_FLOWS:
        flows = [
            (user, number(found.multiplier[i], 5), *(number(f, 5) if f > 0 else "" for f in found.flow[i]))
            for i, user in enumerate(market.user_ids)
        ]
        names = ("user", "marginal cost", *market.provider_ids)
        screen.print(table("flows", names, flows, right=names[1:]))
    screen.print(f"profit {number(profit_of(market, found.prices, found.load), 10)}")
    screen.print(f"KKT residual {certificate.kkt_residual:.1e}, largest regret {certificate.max_regret:.1e}")
