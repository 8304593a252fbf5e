"""Small markets that several tests share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from prillm_or.market import Market

MakeMarket = Callable[..., Market]


@pytest.fixture(scope="session")
def make_market() -> MakeMarket:
    """Two users, three providers, p1 leads; any field may be given instead."""

    def make(**fields: Any) -> Market:
        n = len(fields.get("user_ids", "12"))
        m = len(fields.get("provider_ids", "123"))
        defaults: dict[str, Any] = {
            "name": "small",
            "user_ids": tuple(f"u{i + 1}" for i in range(n)),
            "provider_ids": tuple(f"p{j + 1}" for j in range(m)),
            "demand": 1.0 + np.arange(n),
            "price": 1.0 + np.arange(m),
            "capacity": 2.0 + np.arange(m),
            "value": np.zeros(m),
            "unit_cost": np.zeros(m),
            "delay": np.arange(n * m, dtype=float).reshape(n, m) / 4,
            "price_weight": np.ones(n),
            "congestion_weight": np.ones(n),
            "delay_weight": np.ones(n),
            "leader": (0,),
            "price_cap": np.full(len(fields.get("leader", "1")), 10.0),
        }
        return Market(**(defaults | fields))

    return make


@pytest.fixture
def small_market(make_market: MakeMarket) -> Market:
    """The market of `make_market` as it is."""
    return make_market()
