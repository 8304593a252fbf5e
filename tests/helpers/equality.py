"""Whether two frozen records hold the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields

import numpy as np

from prillm_or.calibration.observations import Observations
from prillm_or.market.market import Market


def assert_same(found: Market | Observations, expected: Market | Observations, but: Sequence[str] = ()) -> None:
    """Every field is the same to the last bit, but for those named."""
    assert type(found) is type(expected)
    for field in fields(expected):
        ours, theirs = getattr(found, field.name), getattr(expected, field.name)
        if isinstance(theirs, np.ndarray):
            np.testing.assert_array_equal(ours, theirs, err_msg=field.name)
        elif field.name not in but:
            assert ours == theirs, field.name
