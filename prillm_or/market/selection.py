"""select: the market of some users and providers, in any order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from prillm_or.market.market import Array, Market
from prillm_or.market.rules import PAIR_ARRAYS, PROVIDER_ARRAYS, USER_ARRAYS


def select(
    market: Market, users: Sequence[int] | None = None, providers: Sequence[int] | None = None, **fields: Any
) -> Market:
    """The market of some users and providers, all of them where none are given.

    Parameters
    ----------
    users, providers
        Positions, in the order wanted; the leader's providers must be among them.
    fields
        What else is new, as of `dataclasses.replace`.
    """
    i = range(market.n) if users is None else users
    j = range(market.m) if providers is None else providers
    chosen: dict[str, Any] = dict(arrays_of(market, list(i), list(j)))
    chosen["user_ids"] = tuple(market.user_ids[k] for k in i)
    chosen["provider_ids"] = tuple(market.provider_ids[k] for k in j)
    if "leader" not in fields:
        chosen["leader"] = tuple(list(j).index(k) for k in market.leader)
    return replace(market, **chosen | fields)


def arrays_of(market: Market, users: Sequence[int], providers: Sequence[int]) -> dict[str, Array]:
    """What the arrays of a market hold of some users and providers, by name; `price_cap` is not among them."""
    i, j = np.array(users, dtype=np.intp), np.array(providers, dtype=np.intp)
    chosen = {name: getattr(market, name)[i] for name in (*USER_ARRAYS, "mix")}
    chosen |= {name: getattr(market, name)[j] for name in PROVIDER_ARRAYS}
    return chosen | {name: of[np.ix_(i, j)] for name in PAIR_ARRAYS if (of := getattr(market, name)).size}
