"""learned: `anchored`, at the price that a network says.

The network reads the market, in which no equilibrium is solved, and corrects the best price of the `capacity` merge.
It also reads the best prices of two surrogates, the baselines `spgce` and `odca`, in which users are one crowd or
ignore each other. What it learned from is in `training/`.

For K = 1, where nobody is kept, the small market is trusted up to the highest of those three prices, or `_REACH` times
the anchor: its leader has no higher cap. It is exact at the anchor, and what it promises far above counts for less.

It knows one plain price: markets with price lists or factors, and leaders of several providers, are merged as by
`anchored`, from its anchor. Crowds and tastes it reads as widths, though it learned from none.
"""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np
import torch

from prillm_or.abstraction import anchored
from prillm_or.abstraction.anchor_network import SPAN, AnchorNetwork
from prillm_or.abstraction.features import market_features
from prillm_or.abstraction.small_market import Abstraction, unreduced
from prillm_or.abstraction.weights import load_network
from prillm_or.market.market import Array, Market
from prillm_or.users.equilibrium import Equilibrium

_log = logging.getLogger(__name__)

_REACH = 1.2


def abstract(
    market: Market,
    keep: int,
    *,
    weights: str | None = None,
    anchor: Array | None = None,
    start: Equilibrium | None = None,
) -> Abstraction:
    """Leave `keep` rivals.

    Parameters
    ----------
    market, keep
        What to abstract, and to how many rivals.
    weights
        File of a trained network; the shipped one without it.
    anchor
        The leader's decisions, shape (k,), instead of the network's.
    start
        An equilibrium at other prices to start from.

    Raises
    ------
    PrillmError
        When the weights cannot be read.
    """
    if len(market.rivals) <= keep:
        return unreduced(market)
    network = load_network("learned", AnchorNetwork, weights)
    known = market.plain and len(market.leader) == 1
    if known and anchor is None:
        return abstract_with(network, market, keep, start)
    made = anchored.abstract(market, keep, anchor=anchor, start=start)
    return made if known else replace(made, remark="as `anchored`: the network knows one plain price")


def abstract_with(network: AnchorNetwork, market: Market, keep: int, start: Equilibrium | None = None) -> Abstraction:
    """Leave `keep` rivals of a market of one plain price, by this network; see `abstract`."""
    anchor, most = _read(network, market)
    made = anchored.abstract(market, keep, anchor=anchor, start=start)
    # Where no price up to there would earn anything, a cap would make the leader sell at a loss.
    if keep > 1 or not market.unit_cost[market.leader[0]] < most < market.price_cap:
        return made
    remark = f"its price cap is {most[0]:.7g}, beyond which it is not to be trusted"
    return replace(made, market=replace(made.market, price_cap=most), remark=remark)


def _read(network: AnchorNetwork, market: Market) -> tuple[Array, Array]:
    """The price at which to anchor, and up to which to trust who keeps nobody; shape (1,), at most the cap."""
    if market.price_cap[0] == 0:
        return market.price_cap, market.price_cap
    _log.info("learned: features of the market")
    guesses, features = market_features(market)
    _log.info("learned: where to anchor")
    with torch.no_grad():
        batch = {name: torch.from_numpy(value)[None] for name, value in features.arrays().items()}
        shift = float(network(batch)[0].clamp(-SPAN, SPAN))
    anchor = np.minimum(guesses[0] * np.exp(shift), market.price_cap)
    return anchor, np.minimum(np.maximum(_REACH * anchor, max(guesses)), market.price_cap)
