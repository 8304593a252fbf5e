"""The two networks of `learned`: where to anchor, before any equilibrium is known, and whom to keep, at the anchor."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from prillm_or.abstraction.encoder import Encoded, Encoder, Widths
from prillm_or.abstraction.features import GAIN

SPAN = 2.5
"""Largest correction of a guess, as a logarithm."""

REACHES = (1.02, 1.05, 1.1, 1.2, 1.5, float("inf"))
"""How far above its anchor a small market may look: its price cap, as a multiple of the anchor."""

_PRIOR = 10.0


class AnchorNetwork(nn.Module):
    """Reads `market_features`; returns the logarithm of anchor / guess, shape (B,)."""

    widths = Widths(pair=4, user=5, rival=3, market=12)

    def __init__(self) -> None:
        super().__init__()
        self.encoder = Encoder(self.widths)
        self.head = _head(self.widths.token, self.widths.hidden, 1)

    def forward(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Correct the guesses of a batch."""
        shift: Tensor = self.head(self.encoder(batch).market).squeeze(-1)
        return shift


class KeepNetwork(nn.Module):
    """Reads `rival_features`; says whom to keep, and how far the small market that is left may be trusted.

    Scores start from the closed form, the rivals' gains from a dearer leader, which the network corrects.
    """

    widths = Widths(pair=4, user=4, rival=5, market=7)

    def __init__(self) -> None:
        super().__init__()
        h = self.widths.hidden
        self.encoder = Encoder(self.widths)
        self.score_head = _head(h + self.widths.token, h, 1)
        self.reach_head = _head(h + 1 + self.widths.token, h, len(REACHES))

    def forward(self, batch: Mapping[str, Tensor]) -> tuple[Encoded, Tensor]:
        """Tokens, and scores of the rivals, shape (B, m): the higher, the more is lost by merging; padded ones -inf."""
        tokens: Encoded = self.encoder(batch)
        market = tokens.market[:, None].expand(-1, tokens.rivals.shape[1], -1)
        correction = self.score_head(torch.cat((tokens.rivals, market), -1)).squeeze(-1)
        scores = _PRIOR * batch["rivals"][..., GAIN].clamp(-1.0, 2.0) + correction
        return tokens, scores.masked_fill(~batch["rival_mask"], -torch.inf)

    def reach(self, tokens: Encoded, kept: Tensor) -> Tensor:
        """Scores of `REACHES`, shape (B, S, len(REACHES)), for S sets of kept rivals a market, `kept` (B, S, m)."""
        kept = kept.to(tokens.rivals.dtype)
        chosen = torch.einsum("bsm,bmh->bsh", kept, tokens.rivals)
        market = tokens.market[:, None].expand(-1, kept.shape[1], -1)
        scores: Tensor = self.reach_head(torch.cat((chosen, kept.sum(-1, keepdim=True), market), -1))
        return scores

    def best(self, batch: Mapping[str, Tensor], keep: int) -> tuple[Tensor, Tensor]:
        """The `keep` - 1 rivals to keep, shape (B, m), and the reach, shape (B,), as positions in `REACHES`."""
        tokens, scores = self(batch)
        kept = torch.zeros_like(batch["rival_mask"]).scatter(1, scores.topk(keep - 1).indices, True)
        return kept, self.reach(tokens, kept[:, None]).squeeze(1).argmax(-1)


class LearnedNetworks(nn.Module):
    """Both, under one roof: the content of one file of weights."""

    def __init__(self) -> None:
        super().__init__()
        self.anchor = AnchorNetwork()
        self.keep = KeepNetwork()


def _head(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    """Starts at zero: an untrained network corrects nothing."""
    last = nn.Linear(hidden, outputs)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    return nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), last)
