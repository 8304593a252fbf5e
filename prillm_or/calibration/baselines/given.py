"""What all baselines share: what they are given, and how they are listed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from prillm_or.calibration.days import Days
from prillm_or.errors import PrillmError
from prillm_or.market.market import Array


class NotApplicableError(PrillmError):
    """A baseline has nothing to go by in these days. Remedy: the message says what it needs; leave it out otherwise."""


@dataclass(frozen=True)
class Baseline:
    """Where a baseline lives and what it needs.

    Parameters
    ----------
    home
        Module and function; the function takes `Given` and returns flows, shape (T, n, m).
    about
        One line for people.
    package
        The package it needs besides this one's, as it is imported, or None.
    cheap
        Whether it takes no longer than a fit, so that it may run unasked.
    """

    home: tuple[str, str]
    about: str
    package: str | None = None
    cheap: bool = False


@dataclass(frozen=True, eq=False)
class Given:
    """What a baseline may use.

    Parameters
    ----------
    days
        Of its flows only those of `days.train` may be looked at.
    user_ids, provider_ids
        Names, n and m of them.
    weight
        Shape (T, n), how much each user's day counts, as in `fit_days`.
    seed
        Of what is random.
    """

    days: Days
    user_ids: Sequence[str]
    provider_ids: Sequence[str]
    weight: Array
    seed: int
