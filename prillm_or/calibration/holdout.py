"""Holding out: which cells a fit may see, and which it is judged by."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress

import numpy as np

from prillm_or.calibration.observations import Observations
from prillm_or.errors import ArgumentError, ObservationsError, argument
from prillm_or.market.market import Mask

FOLDS = 5
_DAYS_ENOUGH = 10


def hold_out_days(observations: Observations, last: int) -> Mask:
    """Cells of the last days, shape (T, n, m).

    Raises
    ------
    ObservationsError
        When nothing would be left to see, or nothing be held out.
    """
    if not 0 < last < observations.T:
        most = f"1 to {observations.T - 1}" if observations.T > 1 else "none"
        problem = f"days: cannot hold out {last} of {observations.T}; possible: {most}"
        raise ObservationsError(observations.name, [problem])
    held = observations.cells
    held[:-last] = False
    return held


def hold_out_users(observations: Observations, users: Sequence[str]) -> Mask:
    """Cells of some users, shape (T, n, m); their demands are still seen, and congest the others' providers.

    Raises
    ------
    ObservationsError
        When a user is not there, or nothing would be left to see.
    """
    known = ", ".join(observations.user_ids[:10]) + (", ..." if observations.n > 10 else "")
    strangers = [user for user in dict.fromkeys(users) if user not in observations.user_ids]
    problems = [f"users: no user is called {user!r}; there are: {known}" for user in strangers]
    if not problems and set(users) >= set(observations.user_ids):
        problems.append("users: cannot hold out all of them; leave one to learn from")
    if problems:
        raise ObservationsError(observations.name, problems)
    held = observations.cells
    held[:, [name not in set(users) for name in observations.user_ids]] = False
    if (held == observations.cells).all():
        raise ObservationsError(observations.name, ["users: no other has flow; leave one to learn from"])
    return held


def hold_out_cells(observations: Observations, share: float, seed: int = 0) -> Mask:
    """A random share of all cells, shape (T, n, m).

    Raises
    ------
    ObservationsError
        When nothing would be left to see, or nothing be held out.
    """
    cells = np.argwhere(observations.cells)
    count = round(share * len(cells))
    if not 0 < count < len(cells):
        problem = f"cells: cannot hold out {count} of {len(cells)}; possible: 1 to {len(cells) - 1}"
        raise ObservationsError(observations.name, [problem])
    chosen = cells[np.random.default_rng(seed).permutation(len(cells))[:count]]
    held = np.zeros(observations.flow.shape, dtype=bool)
    held[tuple(chosen.T)] = True
    return held


def held_out(observations: Observations, text: str | None, seed: int = 0) -> Mask | None:
    """What `days:7`, `users:ID,ID` or `cells:0.2` holds out, shape (T, n, m); None for nothing.

    Raises
    ------
    ArgumentError
        When the text is none of these.
    ObservationsError
        When nothing would be left to see, or nothing be held out.
    """
    if not text:
        return None
    kind, _, what = str(text).partition(":")
    if kind == "days" and what.isdecimal():
        return hold_out_days(observations, int(what))
    if kind == "users" and what:
        return hold_out_users(observations, what.split(","))
    with suppress(ValueError):
        if kind == "cells" and 0 < float(what) < 1:
            return hold_out_cells(observations, float(what), seed)
    raise ArgumentError(
        f"{argument('holdout', text)}: expected days:N, users:ID,ID or cells:SHARE with a share between 0 and 1"
    )


def folds(train: Mask, seed: int = 0, count: int = FOLDS) -> Iterator[Mask]:
    """Parts of the cells seen, shape (T, n, m) each, every cell in one: whole days where there are many, else cells."""
    random = np.random.default_rng(seed)
    days = np.flatnonzero(train.any(axis=(1, 2)))
    if len(days) >= _DAYS_ENOUGH:
        part = np.full(len(train), -1)
        part[days] = random.permutation(np.arange(len(days)) % count)
        yield from (train & (part == k)[:, None, None] for k in range(count))
        return
    cells = np.argwhere(train)
    labels = random.permutation(np.arange(len(cells)) % count)
    for k in range(min(count, len(cells))):
        held = np.zeros(train.shape, dtype=bool)
        held[tuple(cells[labels == k].T)] = True
        yield held
