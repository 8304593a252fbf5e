"""Encoder: a market of any size, read by a network in which no user and no rival has a place of its own.

Every pair of a user and a rival is embedded; a rival is what its pairs add up to, the rivals look at each other in a
stack of Set Attention Blocks, and a user is what its pairs say once they know what their rivals have become:

    phi_ij = MLP(pair_ij, user_i, rival_j)
    r_j    = SAB(... SAB(W [sum_i share_i phi_ij, mean_i phi_ij, rival_j, market]))
    mu_ij  = relu(U phi_ij + V r_j)
    u_i    = MLP(mean_j mu_ij, max_j mu_ij, sum_j a_ij mu_ij, user_i, market),     a_i = softmax of w . mu_i
    market = [sum_i share_i u_i, mean_i u_i, mean_j r_j, market]

Permuting users or rivals permutes the tokens and leaves the market's alone, and any number of either will do. Cost:
n m h^2 for the pairs and m^2 h for the attention, with h the width.

References: Set Attention Block: Lee et al., "Set Transformer", ICML 2019, arXiv 1810.00825; sums over a set: Zaheer et
al., "Deep Sets", NeurIPS 2017, arXiv 1703.06114.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from prillm_or.abstraction.set_attention import SetAttentionBlock

_BLOCKS = 2
_HEADS = 4
_UNUSED = -1e9


@dataclass(frozen=True)
class Widths:
    """Number of features of a pair, a user, a rival and the market, and of hidden units."""

    pair: int
    user: int
    rival: int
    market: int
    hidden: int = 48

    @property
    def token(self) -> int:
        """Width of the market's token."""
        return 3 * self.hidden + self.market


@dataclass(frozen=True, eq=False)
class Encoded:
    """Tokens of a batch: rivals (B, m, hidden), zero where padded, and markets (B, `Widths.token`)."""

    rivals: Tensor
    market: Tensor


class Encoder(nn.Module):
    """Reads a batch of markets; see the module docstring."""

    def __init__(self, widths: Widths) -> None:
        super().__init__()
        h = widths.hidden
        self.pair = _perceptron(widths.pair + widths.user + widths.rival, h, h)
        self.rival = nn.Linear(2 * h + widths.rival + widths.market, h)
        self.blocks = nn.ModuleList(SetAttentionBlock(h, _HEADS) for _ in range(_BLOCKS))
        self.from_pair = nn.Linear(h, h)
        self.from_rival = nn.Linear(h, h)
        self.attention = nn.Linear(h, 1)
        self.user = _perceptron(3 * h + widths.user + widths.market, h, h)

    def forward(self, batch: Mapping[str, Tensor]) -> Encoded:
        """Read `Features` stacked and padded to common sizes, with `user_mask` (B, n) and `rival_mask` (B, m)."""
        pairs, users, rivals, market = batch["pairs"], batch["users"], batch["rivals"], batch["market"]
        is_user, is_rival, share = batch["user_mask"], batch["rival_mask"], batch["share"]
        n, m = pairs.shape[1:3]
        user_count, rival_count = is_user.sum(1)[:, None], is_rival.sum(1)[:, None]
        is_pair = (is_user[:, :, None] & is_rival[:, None, :]).unsqueeze(-1)

        everything = (pairs, users[:, :, None].expand(-1, -1, m, -1), rivals[:, None].expand(-1, n, -1, -1))
        phi = self.pair(torch.cat(everything, -1)) * is_pair
        shared, mean = torch.einsum("bn,bnmh->bmh", share, phi), phi.sum(1) / user_count[:, None]
        token = self.rival(torch.cat((shared, mean, rivals, market[:, None].expand(-1, m, -1)), -1))
        for block in self.blocks:
            token = block(token, is_rival)
        token = token * is_rival.unsqueeze(-1)

        message = torch.relu(self.from_pair(phi) + self.from_rival(token)[:, None]) * is_pair
        weight = self.attention(message).squeeze(-1).masked_fill(~is_rival[:, None], _UNUSED).softmax(-1)
        heard = (
            message.sum(2) / rival_count[:, None],
            message.amax(2),
            torch.einsum("bnm,bnmh->bnh", weight, message),
        )
        told = self.user(torch.cat((*heard, users, market[:, None].expand(-1, n, -1)), -1)) * is_user.unsqueeze(-1)

        whole = (torch.einsum("bn,bnh->bh", share, told), told.sum(1) / user_count, token.sum(1) / rival_count, market)
        return Encoded(token, torch.cat(whole, -1))


def _perceptron(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, outputs), nn.ReLU())
