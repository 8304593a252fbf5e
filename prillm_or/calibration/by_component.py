"""What observed prices are made of, where input and output, say, are billed apart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from prillm_or.calibration.observations import Observations
from prillm_or.market.market import Array


@dataclass(frozen=True, eq=False)
class ByComponent:
    """Prices and mixes by component, of observations that hold one price.

    Parameters
    ----------
    price
        Shapes (T, m), currency per unit of the component, NaN where the provider is not offered.
    share
        Shapes (T, n): of the component in a user's volume on a day.
    """

    price: Mapping[str, Array]
    share: Mapping[str, Array]


def mix_rows(observations: Observations, share: Mapping[str, Array]) -> dict[str, list[Any]]:
    """Columns of the table `mixes`; without days where none differs from another."""
    vary = any((array != array[0]).any() for array in share.values())
    days = observations.days if vary else observations.days[:1]
    places = [(t, i, name) for t in range(len(days)) for i in range(observations.n) for name in share]
    dated = {"day": [days[t] for t, _, _ in places]} if vary else {}
    return dated | {
        "user": [observations.user_ids[i] for _, i, _ in places],
        "component": [name for _, _, name in places],
        "share": [float(share[name][t, i]) for t, i, name in places],
    }
