r"""The paper's network: rivals look at each other and get two scores, by which they are kept or merged.

    token_j        = SAB(SAB(W feature_j))                       one for each rival j
    score_avg_j    = exp(u . token_j),      score_sum_j = softplus(v . token_j)

The K - 1 rivals of highest score_avg are kept. The others, J, become one rival a:

    alpha_a = sum_{j in J} score_sum_j alpha_j,      (p_a, d_ia, b_a) = sum_{j in J} w_j (p_j, d_ij, b_j),
    w_j = score_avg_j / sum_{l in J} score_avg_l.

The paper names the two scores, the blocks and what a rival's features speak of: price, delays, capacity, value and
relation to the leader. Features in detail, sizes, and how scores are made positive are ours. Both heads start at zero:
an untrained network merges all capacities whole and takes plain means.

Features are free of units: money is counted in scaled money (`users/equilibrium.py`) in units of the mean congestion
sum D / sum alpha, differences go through arsinh and ratios through a logarithm; where the leader has several providers
they stand for their mean. Sums and means of alpha leave out rivals of ample capacity, such as an outside option. Users
enter by demand-weighted means, so that any number of users and rivals in any order will do.

References: Guo, Bai, Jin, AAAI 2026, doi 10.1609/aaai.v40i20.38748. Set Transformer: Lee et al., ICML 2019, arXiv
1810.00825.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import e, log

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from prillm_or.abstraction.set_attention import SetAttentionBlock
from prillm_or.abstraction.small_market import ample
from prillm_or.market.market import Array, Market
from prillm_or.users.problem import user_problem

FEATURES = 15
"""Number of features of a rival."""

_WIDTH = 64
_HEADS = 4
_BLOCKS = 2
_SOFTPLUS_OF_ONE = log(e - 1.0)


@dataclass(frozen=True, eq=False)
class Scores:
    """Of B sets of r rivals; what stands in the place of padding means nothing.

    Parameters
    ----------
    sum
        Shape (B, r), > 0: how much of a rival's capacity goes into the merged one.
    log_avg
        Shape (B, r): logarithm of the weight of a rival in the means, and its claim to be kept.
    """

    sum: Tensor
    log_avg: Tensor


@dataclass(frozen=True, eq=False)
class Plan:
    """Whom to keep, and how to merge the rest, for B sets of r rivals.

    Parameters
    ----------
    kept
        Shape (B, K - 1): positions of the kept rivals, by falling score.
    weight
        Shape (B, r): weights w of the means; zero where kept or padding, else adding up to 1.
    share
        Shape (B, r): shares of the capacities that are added; zero where kept or padding.
    """

    kept: Tensor
    weight: Tensor
    share: Tensor


class PaperNetwork(nn.Module):
    """Scores rivals; see the module docstring."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(FEATURES, _WIDTH)
        self.blocks = nn.ModuleList(SetAttentionBlock(_WIDTH, _HEADS) for _ in range(_BLOCKS))
        self.heads = nn.Linear(_WIDTH, 2)
        nn.init.zeros_(self.heads.weight)
        nn.init.zeros_(self.heads.bias)

    def forward(self, features: Tensor, present: Tensor) -> Scores:
        """Score rivals by `rival_features`, shape (B, r, FEATURES); `present` (B, r) is false for padding."""
        tokens = self.embed(features)
        for block in self.blocks:
            tokens = block(tokens, present)
        for_sum, for_avg = self.heads(tokens).unbind(-1)
        return Scores(softplus(for_sum + _SOFTPLUS_OF_ONE), for_avg)


def plan(scores: Scores, present: Tensor, keep: int) -> Plan:
    """Keep the `keep` - 1 best rivals and merge the others; each set has more than `keep` - 1 rivals.

    Derivatives reach `weight` and `share`; the choice itself has none.
    """
    ranked = scores.log_avg.detach().masked_fill(~present, -torch.inf)
    kept = ranked.topk(keep - 1, dim=-1).indices
    merged = present.scatter(-1, kept, torch.zeros_like(kept, dtype=torch.bool))
    weight = scores.log_avg.masked_fill(~merged, -torch.inf).softmax(-1)
    return Plan(kept, weight, torch.where(merged, scores.sum, 0.0))


def rival_features(market: Market) -> Array:
    """What the network reads of each rival, shape (rivals, FEATURES); see the module docstring."""
    users = user_problem(market)
    rivals, leader = list(market.rivals), list(market.leader)
    usual = market.capacity[~ample(market)]
    money = market.demand.sum() / usual.sum()
    share = market.demand / market.demand.sum()
    per_price, per_value = share @ users.sensitivity[:, 0] / money, share @ (1.0 / market.congestion_weight) / money

    price = per_price * market.price[rivals]
    value = per_value * (market.value[rivals] - market.value[leader].mean())
    wait = (market.delay_weight / market.congestion_weight)[:, None] * market.delay / money
    own_wait = wait[:, leader].mean(axis=1, keepdims=True)
    waits = _pooled(wait[:, rivals], share)
    further = _pooled(wait[:, rivals] - own_wait, share)
    # How much dearer than the leader, whose price is 0 here, a rival is to its users, congestion apart.
    dearer = users.base[:, rivals] - users.base[:, leader].mean(axis=1, keepdims=True)
    gaps = _pooled(dearer / money, share)
    below_cap = per_price * market.price_cap.mean() - gaps[:, :1]

    capacity = market.capacity[rivals, None]
    ratios = np.log(np.hstack((capacity / usual.mean(), capacity / market.capacity[leader].mean())))
    sizes = np.broadcast_to([1.0 / market.n, 1.0 / market.m], (len(rivals), 2))
    differences = np.column_stack((price, value, waits, further[:, 1:], gaps, below_cap))
    return np.hstack((np.arcsinh(differences), ratios, sizes))


def _pooled(values: Array, share: Array) -> Array:
    """Mean, spread and smallest over users, who count by their share of the demand; shape (rivals, 3)."""
    mean = share @ values
    spread = np.sqrt(share @ (values - mean) ** 2)
    return np.column_stack((mean, spread, values.min(axis=0)))
