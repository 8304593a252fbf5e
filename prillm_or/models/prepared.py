"""Prepared: a market in a model's units, with the proven bounds that the exact formulations build on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyomo.environ as pyo

from prillm_or.errors import CombinationError
from prillm_or.market.decisions import all_prices, per_unit
from prillm_or.market.market import Array, Market
from prillm_or.models.bounds import Bounds, derive_bounds, loose_bounds
from prillm_or.models.capabilities import Capability
from prillm_or.models.concave import ConcaveProfit
from prillm_or.models.formulation import Formulation, scaled_market
from prillm_or.models.window import Window, whole_window


@dataclass(frozen=True, eq=False)
class Prepared:
    """What every exact formulation starts from.

    Parameters
    ----------
    market, money, volume, decision
        As `scaled_market` gives them.
    bounds
        Proven at all decisions that can be optimal.
    upper_bound
        The sum over the leader's providers of the largest load of the bounds times the most that a unit of it earns at
        the highest prices, where that is above 0.
    notes
        Lines for people.
    """

    market: Market
    money: float
    volume: float
    decision: Array
    bounds: Bounds
    upper_bound: float
    notes: tuple[str, ...]


def prepare(market: Market, window: Window, big_m: float | None = None) -> Prepared:
    """Scale a market and bound its variables.

    Parameters
    ----------
    market
        In the user's units.
    window
        The decisions considered, in the user's units.
    big_m
        One M for every pair instead of the derived ones, and no other bound; currency per volume unit.

    Raises
    ------
    CombinationError
        When `big_m` is below the largest derived value.
    """
    window = window if big_m is None else whole_window(market)  # a given M is to be compared without other help
    # A cap far above all useful prices is no measure.
    scaled, money, volume, decision = scaled_market(market, window.high)
    bounds = derive_bounds(scaled, window.in_units(money, volume, decision))
    if big_m is not None:
        bounds = _checked(loose_bounds(scaled, big_m / money), bounds, money)
    notes = _notes(bounds, money, decision)
    return Prepared(scaled, money, volume, decision, bounds, _first_bound(scaled, bounds), notes)


def formulate(
    name: str,
    prepared: Prepared,
    model: pyo.ConcreteModel,
    needs: frozenset[Capability],
    profit: ConcaveProfit | None,
    seeds: int = 0,
) -> Formulation:
    """The formulation of a prepared market, its model and its objective."""
    return Formulation(
        name=name,
        market=prepared.market,
        money=prepared.money,
        volume=prepared.volume,
        decision=prepared.decision,
        model=model,
        bounds=prepared.bounds,
        needs=needs,
        profit=profit,
        seeds=seeds,
        upper_bound=prepared.upper_bound,
        notes=prepared.notes,
    )


def _first_bound(market: Market, bounds: Bounds) -> float:
    # A provider below its unit cost earns nothing. Where caps are tiny beside other costs, or below unit costs, this
    # is all there is to prove, and beyond what a model's digits would tell.
    own = list(market.leader)
    earned = per_unit(market, all_prices(market, bounds.price_high)[own] - market.unit_cost[own])
    most = earned if earned.ndim == 1 else earned.max(axis=0)
    return float(np.maximum(most, 0.0) @ bounds.load_high[own])


def _checked(loose: Bounds, derived: Bounds, money: float) -> Bounds:
    """`loose`, unless its M is below a proven one."""
    least = max(float(derived.reduced_high.max()), float(derived.level_high.max()))
    if loose.reduced_high.max() < least:
        raise CombinationError(
            f"big_m = {float(loose.reduced_high.max()) * money:g} is not proven: the derived values reach "
            f"{least * money:g}, and a smaller one may cut off the best price; leave big_m out"
        )
    return loose


def _notes(bounds: Bounds, money: float, decision: Array) -> tuple[str, ...]:
    """What people are told of the derivation."""
    free, counts = bounds.possible & ~bounds.certain, bounds.counts
    lines = [
        f"pairs: {counts['pairs']}, never used {counts['pairs_never_used']}, always used "
        f"{counts['pairs_always_used']}, free {counts['pairs_free']}",
        f"prices considered: {_range(bounds.price_low * decision)} to {_range(bounds.price_high * decision)}",
    ]
    if free.any():
        values = bounds.reduced_high[free] * money
        lines.append(
            f"bounds of reduced costs on free pairs, in currency per volume unit: smallest {values.min():.4g}, "
            f"median {np.median(values):.4g}, largest {values.max():.4g}"
        )
    return tuple(lines)


def _range(prices: Array) -> str:
    return ", ".join(f"{price:.6g}" for price in prices)
