"""one of many: decisions that are told apart by no bill, and so earn the same, in a sentence for each provider."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from prillm_or.market.decisions import what_is_set
from prillm_or.market.market import Market
from prillm_or.output.numbers import figure
from prillm_or.users.equilibrium import Equilibrium
from prillm_or.users.same_bills import SameBills, same_bills

_STILL = 1e-9


def many_in_words(market: Market, found: Equilibrium) -> Iterator[str]:
    """Say of each provider which of its decisions may move together, and how, with no bill changed."""
    for same in same_bills(market, found):
        yield from _of_one(market, same)


def _of_one(market: Market, same: SameBills) -> Iterator[str]:
    names = [market.decisions[k].name for k in same.decisions.tolist()]
    low, high = same.ranges()
    what = what_is_set(market)
    moving = np.abs(same.steps).max(axis=1) > _STILL * np.abs(same.steps).max()
    told = [
        f"{name} {figure(float(first), 4)} to {figure(float(last), 4)}"
        for name, first, last, moves in zip(names, low, high, moving, strict=True)
        if moves
    ]
    if len(told) == 1:
        name = names[int(moving.argmax())]
        span = f"{figure(float(low[moving][0]), 4)} to {figure(float(high[moving][0]), 4)}"
        yield f"nobody pays {name}: it is one of many {what}s that earn the same, from {span}"
    elif same.steps.shape[1] == 1:
        step = same.steps[:, 0] / same.steps[int(moving.argmax()), 0]
        one, *others = [(name, by) for name, by, moves in zip(names, step.tolist(), moving, strict=True) if moves]
        moved = [f"{one[0]} 1 higher"]
        moved += [f"{name} {figure(abs(by), 4)} {'higher' if by > 0 else 'lower'}" for name, by in others]
        together = f"{', '.join(moved[:-1])} and {moved[-1]}"
        yield (
            f"these {what}s are some of many that earn the same: with {together} nobody pays "
            f"more or less ({', '.join(told)})"
        )
    else:
        yield (
            f"these {what}s are some of many that earn the same: they can move in {same.steps.shape[1]} directions in "
            f"which nobody pays more or less ({', '.join(told)})"
        )
