"""Markets and preferences drawn about others."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from helpers.calibration import alike
from helpers.markets import draw_market
from prillm_or.calibration.preferences import EVERYONE, Preferences
from prillm_or.market.market import Market


def drawn(market: Market, count: int, seed: int, spread: float = 0.2) -> list[Market]:
    """The market with values moved by parts of the mean price, and weights by factors, of every user its own."""
    rng = np.random.default_rng(seed)
    money = float(np.nanmean(market.price)) + 0.1
    return [
        replace(
            market,
            value=market.value + spread * money * rng.standard_normal(market.m),
            price_weight=market.price_weight * np.exp(spread * rng.standard_normal(market.n)),
            congestion_weight=market.congestion_weight * np.exp(spread * rng.standard_normal(market.n)),
            delay_weight=market.delay_weight * np.exp(spread * rng.standard_normal(market.n)),
        )
        for _ in range(count)
    ]


def market_and_draws() -> tuple[Market, list[Market]]:
    """A market and a dozen draws, of which the best prices differ."""
    market = draw_market("weights", 7, 6, 4)
    return market, drawn(market, 12, 4)


def wanted_of_their_own(n: int, m: int, seed: int, groups: int = 1) -> Preferences:
    """Weights of each user's own, in one group or in two that hold providers to be worth more or less."""
    rng = np.random.default_rng(seed)
    value = rng.uniform(0, 3, m)
    return replace(
        alike(n, value - value.min(), congestion=1.3, delay=0.6),
        price_factor=rng.uniform(0.5, 2, n),
        congestion_factor=rng.uniform(0.5, 2, n),
        group_ids=("a", EVERYONE)[-groups:],
        group=np.arange(n) % groups,
        group_value=rng.normal(0, 0.5, (groups, m)) * (groups > 1),
    )
