"""learned-paper: the paper's abstraction, whose network scores the rivals; the best stay, the others become one.

Scores, the choice and the formulas of the merge are in `paper_network.py`, what it learns from in
`training/learned_paper.py`. No equilibrium is solved. Cost: n m for the features, m^2 for the network. Markets with
what the paper's have not, price lists, crowds, tastes or values of users' own, are refused.

Reference: Guo, Bai, Jin, AAAI 2026, doi 10.1609/aaai.v40i20.38748.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from prillm_or.abstraction.paper_network import PaperNetwork, plan, rival_features
from prillm_or.abstraction.small_market import (
    Abstraction,
    MergedRival,
    Size,
    compose,
    means,
    new_name,
    unreduced,
    weights_of,
)
from prillm_or.abstraction.weights import load_network
from prillm_or.errors import CombinationError
from prillm_or.market.market import Array, Market
from prillm_or.users.problem import user_problem


def abstract(market: Market, keep: int, *, weights: str | None = None) -> Abstraction:
    """Leave `keep` rivals.

    Parameters
    ----------
    market, keep
        What to abstract, and to how many rivals.
    weights
        File of a trained network; the shipped one without it.

    Raises
    ------
    CombinationError
        When the market has what the paper's have not.
    PrillmError
        When the weights cannot be read.
    """
    if len(market.rivals) <= keep:
        return unreduced(market)
    if not (market.plain and user_problem(market).width.ndim == 1) or market.user_values.size:
        raise CombinationError(
            f"{market.name}: abstraction learned-paper takes neither price lists nor factors, count, dispersion or "
            "values of users' own; anchored does"
        )
    return abstract_with(load_network("learned-paper", PaperNetwork, weights), market, keep)


def abstract_with(network: PaperNetwork, market: Market, keep: int) -> Abstraction:
    """Leave `keep` rivals, scored by this network."""
    if len(market.rivals) <= keep:
        return unreduced(market)
    features = torch.from_numpy(np.float32(rival_features(market)))[None]
    present = torch.ones(features.shape[:2], dtype=torch.bool)
    with torch.no_grad():
        chosen = plan(network(features, present), present, keep)
    weight, share = (numbers[0].double().numpy() for numbers in (chosen.weight, chosen.share))
    return merge(market, chosen.kept[0].tolist(), weight, share)


def merge(market: Market, kept: Sequence[int], weight: Array, share: Array) -> Abstraction:
    """Merge the rivals that are not kept into one.

    Parameters
    ----------
    kept
        Positions in `market.rivals` of the rivals to keep.
    weight, share
        Shape (rivals,): weights of price, delay and value, brought to the sum 1, and shares of the capacities that are
        added; those of kept rivals are not read.
    """
    rivals = np.array(market.rivals)
    is_merged = np.ones(len(rivals), dtype=bool)
    is_merged[list(kept)] = False
    merged = rivals[is_merged]
    weight = weight[is_merged] / weight[is_merged].sum()
    price, cost = means(market, merged.tolist(), weight)
    rival = MergedRival(
        name=new_name(market, f"{len(merged)} others"),
        price=price,
        size=Size(float(share[is_merged] @ market.capacity[merged]), 1.0),
        cost=cost,
        weights=weights_of(market, merged.tolist(), weight),
    )
    return compose(market, rivals[~is_merged].tolist(), [rival], "learned-paper")
