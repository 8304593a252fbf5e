"""learned: the anchored merge, with networks that say where to anchor, whom to keep, and how far to trust the result.

1. A network reads the market (no equilibrium is solved) and corrects the best price of the `capacity` merge: this is
   the anchor.
2. The users' equilibrium at the anchor is solved once in the full market.
3. A second network reads it and scores the rivals: the K - 1 with the highest scores stay as they are. For K = 1, where
   nobody stays, it says instead how far above the anchor the small market may be trusted: the leader's price cap there,
   but never below the closed form's best price, in case the first network went astray.
4. The other rivals are merged as in `anchored.py`, so that flows and slopes at the anchor are exact.

What the networks learn from is in `training/`. The first one also reads the best prices of two surrogates, the
baselines `spgce` and `odca`, in which users are one crowd or ignore each other. The merged rival keeps the capacity
that was matched.

Networks know no price lists and no factors: such markets are merged by the closed form, `anchored`. Crowds and tastes
they read as widths, though they learned from none.

An anchor that is given, as when refining, is a price that a small market proposed: there the cap stays as it is. A
leader with several providers is anchored at `capacity_anchor`, since the first network knows one price only.
"""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from prillm_or.abstraction import anchored
from prillm_or.abstraction.anchored import merge_at
from prillm_or.abstraction.anchors import capacity_anchor
from prillm_or.abstraction.features import Features, market_features, rival_features
from prillm_or.abstraction.networks import REACHES, SPAN, AnchorNetwork, KeepNetwork, LearnedNetworks
from prillm_or.abstraction.small_market import Abstraction, unreduced
from prillm_or.abstraction.substitution import substitution
from prillm_or.abstraction.weights import load_network
from prillm_or.market.market import Array, Market
from prillm_or.users.equilibrium import Equilibrium, solve_users
from prillm_or.users.problem import UserProblem, user_problem

_log = logging.getLogger(__name__)


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
        File of trained networks; the shipped ones without it.
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
    if not market.plain:
        made = anchored.abstract(market, keep, anchor=anchor, start=start)
        return replace(made, remark="as `anchored`: networks know no price lists and no factors")
    return abstract_with(load_network("learned", LearnedNetworks, weights), market, keep, anchor, start)


def abstract_with(
    networks: LearnedNetworks,
    market: Market,
    keep: int,
    anchor: Array | None = None,
    start: Equilibrium | None = None,
) -> Abstraction:
    """Leave `keep` rivals of a market that has more, by these networks; see `abstract`."""
    users = user_problem(market)
    given = anchor is not None
    if anchor is None:
        anchor = learned_anchor(networks.anchor, market, users) if len(market.leader) == 1 else capacity_anchor(market)
    _log.info("learned: equilibrium at the anchor")
    found = solve_users(users, anchor, start)
    answer = substitution(users, found.laplacian)
    _log.info("learned: rivals to keep")
    kept, reach = _choose(networks.keep, rival_features(market, users, found, answer), keep)
    abstraction = merge_at(market, users, found, answer, kept, "learned")
    if keep > 1 or given or len(market.leader) > 1 or np.isinf(reach):
        return abstraction
    small = abstraction.market
    cap = np.minimum(small.price_cap, np.maximum(found.prices * reach, capacity_anchor(market)))
    if cap[0] <= market.unit_cost[market.leader[0]]:  # no price below would earn anything
        return abstraction
    words = f"{small.description} Its price cap is {cap[0]:.7g}, beyond which it is not to be trusted."
    return replace(abstraction, market=replace(small, price_cap=cap, description=words))


def learned_anchor(network: AnchorNetwork, market: Market, users: UserProblem) -> Array:
    """Price at which to anchor, shape (1,), at most the cap."""
    if market.price_cap[0] == 0:
        return market.price_cap
    _log.info("learned: features of the market")
    guess, features = market_features(market, users)
    _log.info("learned: where to anchor")
    with torch.no_grad():
        shift = float(network(_batch(features))[0].clamp(-SPAN, SPAN))
    return np.asarray(np.minimum(guess * np.exp(shift), market.price_cap))


def _choose(network: KeepNetwork, features: Features, keep: int) -> tuple[NDArray[np.bool_], float]:
    """Rivals to keep, a mask of shape (m,), and the reach."""
    batch = _batch(features)
    with torch.no_grad():
        kept, reach = network.best(batch, keep)
    return kept[0].numpy(), REACHES[int(reach)]


def _batch(features: Features) -> dict[str, torch.Tensor]:
    """A batch of one."""
    return {name: torch.from_numpy(value)[None] for name, value in features.arrays().items()}
