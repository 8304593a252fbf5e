"""hold: a market whose leader leaves some decisions as they are, while their profit goes on to count."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from prillm_or.market.decisions import prices_at
from prillm_or.market.market import Market


def hold(market: Market, values: Mapping[str, float]) -> Market:
    """The market with some decisions held at values, by name; the leader decides the others alone.

    Its users and providers are the market's, and so are its loads and profits at the same prices.

    Raises
    ------
    MarketError
        When a name is none of the leader's decisions, or no decision is left.
    """
    stays = [decision.name in values for decision in market.decisions]
    held = [decision for decision, stay in zip(market.decisions, stays, strict=True) if stay]
    return replace(
        market,
        price=prices_at(market, held, np.array([values[decision.name] for decision in held])),
        held=(*market.held, *values),
        price_cap=market.price_cap[~np.array(stays)],
        fit=market.fit and market.fit.elsewhere(),
    )
