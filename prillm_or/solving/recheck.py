"""recheck: a result that was kept in a file, held against its own figures and against the market it speaks of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from math import isclose, isfinite
from typing import Any

import numpy as np

from prillm_or.errors import is_number
from prillm_or.market.decisions import FACTOR, all_prices
from prillm_or.market.market import Array, Market, by_component, by_leader
from prillm_or.result import Result, Status
from prillm_or.solving.judge import contradicts
from prillm_or.users.certificate import profit_of, relative_gap
from prillm_or.users.equilibrium import equilibrium_at
from prillm_or.users.reach import turnover
from prillm_or.workers.lines import Lines

_CLOSE = 1e-6
_ROUNDING = 1e-9


@contextmanager
def of_line(lines: Lines, number: int) -> Iterator[None]:
    """Name the line of a file whose result is refused meanwhile."""
    try:
        yield
    except (AttributeError, KeyError, TypeError):
        raise lines.fault(number) from None
    except ValueError as fault:
        raise lines.fault(number, f"contradicts itself or its market: {fault}") from None


def recheck(market: Market, result: Result, gap: float) -> None:
    """Refuse a result that contradicts itself or is none of the market, for the price of one equilibrium.

    Prices, loads, their profit and the status are checked; today's profit, the certificate and times only for being
    numbers. That no other price earns more than the bound is taken on trust: to prove it anew would be to solve anew.

    Parameters
    ----------
    gap
        That was asked for.

    Raises
    ------
    ValueError
        When a figure is no number, or does not agree with the others; it says which.
    """
    _check_kinds(result)
    if not set(result.prices) == set(result.loads) == set(market.leader_ids):
        raise ValueError("its prices are not those of the market's leader")
    decisions = decided_in(market, result)
    if not (np.all(decisions >= 0) and np.all(decisions <= market.price_cap)):
        raise ValueError(f"a {'price' if result.factors is None else 'factor'} is beyond its cap")
    today = None if market.today is None else by_component(market, market.price, market.leader)
    if today != (None if result.today is None else dict(result.today.prices)):
        raise ValueError("its prices today are not those of the market")
    _check_proof(result, gap, market)
    found = equilibrium_at(market, decisions)
    money, size = _ROUNDING * turnover(market), _ROUNDING * float(market.demand.sum())
    if not isclose(result.profit, profit_of(market, decisions, found.billed), rel_tol=_CLOSE, abs_tol=money):
        raise ValueError("its profit is not what its prices earn")
    loads = by_leader(market, found.load[list(market.leader)])
    if any(not isclose(result.loads[name], loads[name], rel_tol=_CLOSE, abs_tol=size) for name in loads):
        raise ValueError("its loads are not those at its prices")
    billed = by_component(market, found.billed, market.leader) if market.components else None
    if not _are_close(result.billed, billed, size * max(1.0, float(market.mix.max(initial=0.0)))):
        raise ValueError("its billed volumes are not those at its prices")


def decided_in(market: Market, result: Result) -> Array:
    """The leader's decisions, shape (k,), of which a result of the market tells the prices.

    Raises
    ------
    ValueError
        When a decision is not told, or the prices told are not those that follow.
    """
    told = {one.name: one.value for one in result.decided}
    decided = [told.get(decision.name, np.nan) for decision in market.decisions]
    if (result.factors is None) is (market.decides == FACTOR) or np.isnan(decided).any():
        raise ValueError("its prices are not those that the leader decides")
    decisions = np.array(decided, dtype=np.float64)
    prices = by_component(market, all_prices(market, decisions), market.leader)
    if not _are_close(result.prices, prices, 0.0):
        raise ValueError("its prices are not those of the market at what the leader decides")
    return decisions


def _are_close(kept: Mapping[str, Any] | None, wanted: Mapping[str, Any] | None, size: float) -> bool:
    """Whether numbers by provider, or by provider and component, are the same but for rounding."""
    if kept is None or wanted is None:
        return kept is wanted
    return kept.keys() == wanted.keys() and all(
        _are_close(kept[name], value, size)
        if isinstance(value, Mapping)
        else isclose(kept[name], value, rel_tol=_CLOSE, abs_tol=size)
        for name, value in wanted.items()
    )


def _check_kinds(result: Result) -> None:
    method = result.method
    texts = [result.instance, result.instance_sha256, result.version, method.solver, method.solver_version]
    texts += [text for text in (method.model, method.abstraction) if text is not None]
    texts += [text for warning in result.warnings for text in (warning.code, warning.text)]
    if not all(isinstance(text, str) for text in texts):
        raise ValueError("a name in it is no text")
    numbers = [result.profit, result.seed, result.threads, *asdict(result.certificate).values()]
    numbers += [*asdict(result.time_s).values(), *_numbers(result.prices), *_numbers(result.loads)]
    numbers += [*_numbers(result.factors or {}), *_numbers(result.billed or {})]
    numbers += [number for number in (result.upper_bound, result.gap, method.keep) if number is not None]
    numbers += result.stats.values()
    if result.today is not None:
        numbers += [result.today.profit, *_numbers(result.today.prices), *_numbers(result.today.factors or {})]
    if not all(is_number(number) and isfinite(number) for number in numbers):
        raise ValueError("a figure in it is no finite number")


def _numbers(values: Mapping[str, Any]) -> Iterator[object]:
    """All numbers of an object, and of those in it."""
    for value in values.values():
        yield from _numbers(value) if isinstance(value, Mapping) else [value]


def _check_proof(result: Result, gap: float, market: Market) -> None:
    bound = result.upper_bound
    if (bound is None) != (result.gap is None):
        raise ValueError("it has a bound or a gap, and not the other")
    if bound is not None and result.gap is not None:
        if contradicts(bound, result.profit, market):
            raise ValueError("its bound is below its profit")
        if not isclose(result.gap, relative_gap(bound, result.profit), rel_tol=_ROUNDING, abs_tol=_ROUNDING):
            raise ValueError("its gap is not that between its bound and its profit")
    if result.status is Status.OPTIMAL and (result.gap is None or result.gap > gap):
        raise ValueError("it is called optimal, and its gap is not the one asked for")
