"""kernel: small markets in C, where it was built: `kernel.c`, which does what the code in numpy does beside it.

It is built where there is a compiler when the package is installed (`hatch_build.py`). Without it, with
`PRILLM_OR_KERNEL=0` in the environment, and in markets too large for it, numpy computes.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np

from prillm_or.market.market import Array

if TYPE_CHECKING:
    from prillm_or.users._kernel import Small
    from prillm_or.users.problem import UserProblem

SWITCH = "PRILLM_OR_KERNEL"
"""The environment variable that switches the kernel off where it is 0."""

MOST_PAIRS = 20_000
"""Pairs of the largest market that the kernel computes: beyond it numpy is as fast (`benchmarks kernel`)."""

try:
    from prillm_or.users import _kernel
except ImportError:
    BUILT = False
else:
    BUILT = getattr(_kernel, "FORM", 0) == 2
    """Whether it is there, and not what an older source was compiled to."""


def state() -> str:
    """Whether the kernel is in use, in a word or two for `show_versions`."""
    if not BUILT:
        return "not built: numpy"
    return f"in use up to {MOST_PAIRS} pairs" if in_use() else f"switched off by {SWITCH}=0: numpy"


def in_use() -> bool:
    """Whether there is a kernel, and it is switched on."""
    return BUILT and os.environ.get(SWITCH, "") != "0"


def kernel_of(users: UserProblem, ample: int | None) -> Small | None:
    """A copy of users for the kernel; None where it is not in use, or they are too many for it."""
    n, m = users.base.shape
    if n * m > MOST_PAIRS or not in_use():
        return None
    k, width = len(users.decided), np.empty((n, m))
    width[:] = users.width
    return _kernel.Small(
        n,
        m,
        k,
        -1 if ample is None else ample,
        users.stiffness,
        np.ascontiguousarray(users.base),
        np.ascontiguousarray(users.sensitivity.T),
        np.ascontiguousarray(users.capacity),
        np.ascontiguousarray(users.demand),
        width,
        np.array(users.decided, dtype=np.int32),
        _volumes(users),
    )


def _volumes(users: UserProblem) -> Array:
    """What a unit of flow adds to the volume of each decision, and to what is earned besides, shape (k + 1, n, m).

    Nothing, shape (0,), where the volumes are loads that congestion tells.
    """
    tariff, k = users.tariff, len(users.decided)
    if tariff is None and users.congested:
        return np.empty(0)
    volumes = np.zeros((k + 1, *users.base.shape))
    if tariff is None:
        volumes[range(k), :, users.decided] = 1.0
    else:
        volumes[:k] = np.einsum("kjc,ic->kij", tariff.sets, tariff.mix)
        volumes[k] = tariff.mix @ tariff.rest.T
    return volumes
