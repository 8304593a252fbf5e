"""Specification: which preferences a fit may choose, and in what users may differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from prillm_or.calibration.preferences import EVERYONE, Preferences
from prillm_or.market.market import Array

Dispersion = Literal["common", "user", "provider"]
DISPERSIONS: tuple[Dispersion, ...] = ("common", "user", "provider")


@dataclass(frozen=True)
class Specification:
    """What users may want, and in what they may differ.

    Parameters
    ----------
    own_congestion, own_price
        Whether each user has its own weight of congestion, of price.
    groups
        Users by the name of their group; each group has values of its own. Who is in none is in `everyone`.
    values, congestion
        Whether providers may differ in value, and whether congestion counts; without, they are the paper's baselines.
    dispersion
        Whose dispersion is fitted: one for all, or with a factor of each user or of each provider; None for none.
    own_values, families
        Whether each user has values of its own, and the name of each provider's family, m of them, or none.
    """

    own_congestion: bool = False
    own_price: bool = False
    groups: Mapping[str, Sequence[str]] = field(default_factory=dict)
    values: bool = True
    congestion: bool = True
    dispersion: Dispersion | None = None
    own_values: bool = False
    families: tuple[str, ...] = ()

    @property
    def own(self) -> bool:
        """Whether users may differ, or tastes for providers, so that there is something to shrink."""
        own = self.own_congestion or self.own_price or self.own_values or bool(self.groups)
        return own or self.dispersion in ("user", "provider")

    @property
    def congested(self) -> bool:
        """Whether load counts in the users' equilibria, if only next to nothing."""
        return self.congestion or self.dispersion is None


def specification_of(preferences: Preferences) -> Specification:
    """What users differ in by these preferences."""

    def differs(factor: Array) -> bool:
        return bool((factor != 1.0).any())

    user, provider = differs(preferences.dispersion_factor), differs(preferences.provider_dispersion)
    own: Dispersion = "user" if user else "provider" if provider else "common"
    groups = {
        name: [who for who, group in zip(preferences.user_ids, preferences.group, strict=True) if group == place]
        for place, name in enumerate(preferences.group_ids)
        if name != EVERYONE
    }
    return Specification(
        own_congestion=differs(preferences.congestion_factor),
        own_price=differs(preferences.price_factor),
        own_values=bool(preferences.user_value.any()),
        groups=groups,
        congestion=preferences.congestion > 0,
        dispersion=own if preferences.dispersion > 0 else None,
    )
