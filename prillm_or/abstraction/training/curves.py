"""Curves: what the leader's exact profit at any price in the full market says of a small one."""

from __future__ import annotations

import numpy as np

from prillm_or.curves.profit_curve import ProfitCurve, curve
from prillm_or.market.market import Market

_EARNS = 1e-9


def exact_curve(market: Market) -> ProfitCurve | None:
    """Curve over [0, cap], or None where no price earns a profit worth the name."""
    found = curve(market)
    worth = _EARNS * float(market.demand.sum() * np.nanmax(market.price))
    return found if found.best.profit > worth else None


def share_of(small: Market, full: ProfitCurve) -> float:
    """Share of the full market's best profit that the best price of a small market earns there."""
    return float(full.profit(np.array([curve(small).best.price]))[0]) / full.best.profit
