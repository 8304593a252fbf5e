"""The network of `learned`: reads a market of any size, in which no user and no rival has a place of its own.

Every pair of a user and a rival is embedded; a rival is what its pairs add up to, the rivals look at each other in a
stack of Set Attention Blocks, and a user is what its pairs say once they know what their rivals have become:

    phi_ij = MLP(pair_ij, user_i, rival_j)
    r_j    = SAB(... SAB(W [sum_i share_i phi_ij, mean_i phi_ij, rival_j, market]))
    mu_ij  = relu(U phi_ij + V r_j)
    u_i    = MLP(mean_j mu_ij, max_j mu_ij, sum_j a_ij mu_ij, user_i, market),     a_i = softmax of w . mu_i
    shift  = MLP([sum_i share_i u_i, mean_i u_i, mean_j r_j, market])

Permuting users or rivals changes nothing, and any number of either will do. Cost: n m h^2 for the pairs and m^2 h for
the attention, with h the width.

phi and mu have n m h numbers, too many to keep of a large market. Users are therefore read in blocks: phi is added up
block by block, and computed once more where the users' sums over rivals are taken. Blocks fit a processor's cache,
which makes this faster, too. Where derivatives are wanted there is one block: they need everything anyway.

References: Set Attention Block: Lee et al., "Set Transformer", ICML 2019, arXiv 1810.00825; sums over a set: Zaheer et
al., "Deep Sets", NeurIPS 2017, arXiv 1703.06114.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from prillm_or.abstraction.set_attention import SetAttentionBlock

SPAN = 2.5
"""Largest correction of a guess, as a logarithm."""

_PAIR, _USER, _RIVAL, _MARKET = 4, 5, 3, 12
"""Number of features of each, as in `features.py`."""

_HIDDEN = 48
_BLOCKS = 2
_HEADS = 4
_UNUSED = -1e9
_PAIRS = 1 << 14
"""Of one block, in all markets of the batch."""


class AnchorNetwork(nn.Module):
    """Reads `market_features`; returns the logarithm of anchor / guess; see the module docstring."""

    def __init__(self) -> None:
        super().__init__()
        h = _HIDDEN
        self.pair = nn.Sequential(*_layers(_PAIR + _USER + _RIVAL, h, h))
        self.rival = nn.Linear(2 * h + _RIVAL + _MARKET, h)
        self.blocks = nn.ModuleList(SetAttentionBlock(h, _HEADS) for _ in range(_BLOCKS))
        self.from_pair = nn.Linear(h, h)
        self.from_rival = nn.Linear(h, h)
        self.attention = nn.Linear(h, 1)
        self.user = nn.Sequential(*_layers(3 * h + _USER + _MARKET, h, h))
        last = nn.Linear(h, 1)  # at zero: an untrained network corrects nothing
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.head = nn.Sequential(*_layers(3 * h + _MARKET, h, h), last)

    def forward(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Correct the guesses of a batch of B markets, shape (B,).

        The batch holds `Features` stacked and padded to common sizes, with `user_mask` (B, n) and `rival_mask` (B, m).
        What stands in the place of padding gets no weight: rivals in sums over rivals, users in sums over users.
        """
        users, rivals, market = batch["users"], batch["rivals"], batch["market"]
        is_user, is_rival = batch["user_mask"], batch["rival_mask"]
        n, m = users.shape[1], rivals.shape[1]
        by_share = torch.stack((batch["share"], _alike(is_user, users)), 1)
        embedded, blocks = self._embedding(batch), _blocks(batch["pairs"].shape)

        phi = embedded(blocks[0])
        sums = by_share[:, :, blocks[0]] @ phi.flatten(2)
        for block in blocks[1:]:
            sums += by_share[:, :, block] @ embedded(block).flatten(2)
        shared, mean = sums.view(len(sums), 2, m, -1).unbind(1)
        token = self.rival(torch.cat((shared, mean, rivals, market[:, None].expand(-1, m, -1)), -1))
        for attend in self.blocks:
            token = attend(token, is_rival)
        token = token * is_rival.unsqueeze(-1)

        of_rivals = self.from_rival(token).masked_fill(~is_rival.unsqueeze(-1), _UNUSED)
        pooled = users.new_empty(*users.shape[:2], 3 * _HIDDEN)  # pieces of it would leave gaps in memory
        for block in blocks:
            pooled[:, block] = self._pooled(embedded(block) if block.start else phi, of_rivals, is_rival)
        by_user = self.user(torch.cat((pooled, users, market[:, None].expand(-1, n, -1)), -1))

        parts = ((by_share @ by_user).flatten(1), token.sum(1) / is_rival.sum(1, keepdim=True), market)
        shift: Tensor = self.head(torch.cat(parts, -1)).squeeze(-1)
        return shift

    def _embedding(self, batch: Mapping[str, Tensor]) -> Callable[[slice], Tensor]:
        """Phi of the pairs of a block of users, shape (B, block, m, hidden).

        What the first layer makes of a pair, a user and a rival side by side is a sum of three products, the last two
        of which are made once for all pairs.
        """
        first, second = cast("nn.Linear", self.pair[0]), cast("nn.Linear", self.pair[2])
        of_pair, of_user, of_rival = torch.split(first.weight, [_PAIR, _USER, _RIVAL], 1)
        by_user, by_rival = linear(batch["users"], of_user, first.bias), linear(batch["rivals"], of_rival)

        def embedded(block: slice) -> Tensor:
            hidden = by_user[:, block, None] + by_rival[:, None]
            hidden.flatten(0, 2).addmm_(batch["pairs"][:, block].flatten(0, 2), of_pair.t())
            phi: Tensor = second(hidden.relu_()).relu_()
            return phi

        return embedded

    def _pooled(self, phi: Tensor, of_rivals: Tensor, is_rival: Tensor) -> Tensor:
        """Mean, maximum and weighted sum over rivals of mu, shape (B, block, 3 hidden)."""
        message = (self.from_pair(phi) + of_rivals[:, None]).relu_()
        weight = self.attention(message).squeeze(-1).masked_fill(~is_rival[:, None], _UNUSED).softmax(-1)
        alike = _alike(is_rival, phi)[:, None].expand_as(weight)
        mean, chosen = (torch.stack((alike, weight), 2) @ message).unbind(2)
        return torch.cat((mean, message.amax(2), chosen), -1)


def _alike(mask: Tensor, other: Tensor) -> Tensor:
    """Equal weights for those that are there, as precise as `other`, adding up to 1."""
    weight = mask.to(other.dtype)
    return weight / weight.sum(1, keepdim=True)


def _blocks(shape: torch.Size) -> list[slice]:
    """Blocks of users, for pairs of shape (B, n, m, .)."""
    batch, n, m = shape[:3]
    rows = n if torch.is_grad_enabled() else max(1, _PAIRS // (batch * m))
    return [slice(first, first + rows) for first in range(0, n, rows)]


def _layers(inputs: int, hidden: int, outputs: int) -> tuple[nn.Module, ...]:
    return nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, outputs), nn.ReLU()
