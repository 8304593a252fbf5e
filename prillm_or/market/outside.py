r"""outside: users who leave when everything is too dear, as one more rival.

Leaving costs a user nothing and is worth `value` to it, however many leave. So the outside option is a rival with price
0, delay 0 and no congestion; what little congestion a finite capacity leaves is bounded in `docs/mathematics.md`, 14.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import inf
from typing import Any

import numpy as np

from prillm_or.errors import CombinationError, argument
from prillm_or.market.checks import entries, ids_of, member
from prillm_or.market.market import Market

OUTSIDE = "outside"
"""The rival's id."""

OUTSIDE_CAPACITY = 1e6
"""Its capacity, as a multiple of the market's total demand."""

_MOST = 1e9
"""Values beyond this, in units of the largest price or value, leave no digits to these."""


def with_outside(market: Market, value: float) -> Market:
    """The market in which users may leave: a rival more, the last of the providers.

    Parameters
    ----------
    market
        A market without a provider of the id `outside`.
    value
        What leaving is worth to users, currency per volume unit, of any sign, on the scale of the other values.

    Raises
    ------
    CombinationError
        When a provider has that id already, or the value is so large that prices beside it have no digits.
    MarketError
        When the value is not finite.

    Examples
    --------
    >>> from prillm_or.market.synthetic import generate
    >>> market = with_outside(generate(3, 3, "uniform", 0), 1.5)
    >>> market.provider_ids, market.value[-1].item(), market.price[-1].item()
    (('p1', 'p2', 'p3', 'outside'), 1.5, 0.0)
    """
    if OUTSIDE in market.provider_ids:
        raise CombinationError(
            f"{market.name}: a provider has the id {OUTSIDE!r} already; rename it, or leave {argument('outside')} out"
        )
    most = _MOST * max(1.0, *(float(np.nanmax(abs(of))) for of in (market.price_cap, market.price, market.value)))
    if most < abs(value) < inf:
        raise CombinationError(
            f"{market.name}: {argument('outside', value)} is beyond what can be computed beside the market's prices "
            f"and values; expected one between {-most:g} and {most:g}"
        )
    free = np.zeros((1, *market.price.shape[1:]))
    own = market.user_values
    return replace(
        market,
        provider_ids=(*market.provider_ids, OUTSIDE),
        price=np.concatenate([market.price, free]),
        capacity=np.append(market.capacity, OUTSIDE_CAPACITY * market.demand.sum()),
        value=np.append(market.value, value),
        user_values=np.column_stack([own, np.full(market.n, np.nan)]) if own.size else own,
        unit_cost=np.concatenate([market.unit_cost, free]),
        # Where no load congests anybody, one is told apart from no dispersion at all by as little as elsewhere.
        provider_dispersion=np.append(market.provider_dispersion, 0.0 if market.congested else 1 / OUTSIDE_CAPACITY),
        delay=np.column_stack([market.delay, np.zeros(market.n)]),
        fit=market.fit and market.fit.elsewhere(),
    )


def without_delay(change: Mapping[str, Any], market: Market) -> dict[str, Any]:
    """The change with delay 0 to the outside option for users who come, where it says nothing else of it.

    Parameters
    ----------
    change
        As `changes.apply` takes it; what is wrong with it stays wrong.
    market
        The market it is a change of.
    """
    leaving = entries(member(change.get("remove"), "providers"))
    add = change.get("add")
    if OUTSIDE not in market.provider_ids or OUTSIDE in leaving or not entries(member(add, "users")):
        return dict(change)
    coming = ids_of(member(add, "providers")).values()
    others = [name for name in (*market.provider_ids, *coming) if name != OUTSIDE and name not in leaving]
    return dict(change) | {"add": change["add"] | {"users": [_near(user, others) for user in change["add"]["users"]]}}


def _near(user: object, others: Sequence[str]) -> object:
    """A user who comes, with delay 0 to the outside option unless it has its own; one faulty delay stays one."""
    delays = member(user, "delays")
    if isinstance(delays, (int, float)) and not isinstance(delays, bool) and 0 <= delays < inf:
        delays = dict.fromkeys(others, delays)
    return {**user, "delays": {OUTSIDE: 0.0, **delays}} if isinstance(user, dict) and isinstance(delays, dict) else user
