"""Learning where to anchor: the share of the best profit that the anchor itself earns, read off the exact curve.

An example is a scenario's features and its exact profit curve, traced by `path`, tabulated over log(price / guess), and
divided by the best profit. The loss of an anchor is what it leaves of that, plus a robust distance to the best price,
which still teaches where the curve is flat.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from prillm_or.abstraction.anchor_network import SPAN, AnchorNetwork
from prillm_or.abstraction.features import market_features
from prillm_or.abstraction.learned import abstract_with
from prillm_or.abstraction.small_market import Abstraction
from prillm_or.abstraction.training.curves import exact_curve
from prillm_or.abstraction.training.examples import Example, single
from prillm_or.abstraction.training.fit import Batch, Schedule
from prillm_or.abstraction.training.scenarios import scenario
from prillm_or.market.market import Market

POINTS = 401
_NEAR = 0.05
_DISTANCE_WEIGHT = 0.1


@dataclass(frozen=True)
class AnchorLesson:
    """See the module docstring."""

    def example(self, seed: int) -> Example | None:
        """Features, curve, best log ratio and cap of the scenario of a seed; None where no price earns anything."""
        market = scenario(seed)
        curve = exact_curve(market)
        if curve is None:
            return None
        (guess, *_), features = market_features(market)
        # No anchor lies beyond the cap.
        prices = np.minimum(guess * np.exp(np.linspace(-SPAN, SPAN, POINTS)), curve.cap)
        return {
            **features.arrays(),
            "shares": single(np.clip(curve.profit(prices) / curve.best.profit, 0.0, 1.0)),
            "target": _log_ratio(curve.best.price, guess),
            "cap": _log_ratio(float(market.price_cap[0]), guess),
        }

    def schedule(self, asked: Schedule) -> Schedule:
        """As asked."""
        return asked

    def network(self) -> nn.Module:
        """New network."""
        return AnchorNetwork()

    def losses(self, network: nn.Module, batch: Batch) -> Tensor:
        """Loss of each market, shape (B,)."""
        shift = torch.minimum(network(batch), batch["cap"])
        lost = 1.0 - _read_off(batch["shares"], shift)
        distance = nn.functional.huber_loss(shift, batch["target"], delta=_NEAR, reduction="none") / _NEAR
        return lost + _DISTANCE_WEIGHT * distance

    def abstract(self, network: nn.Module, market: Market, keep: int) -> Abstraction:
        """Leave `keep` rivals of a market with one price, by this network."""
        return abstract_with(cast("AnchorNetwork", network), market, keep)


def _log_ratio(price: float, guess: float) -> NDArray[np.float32]:
    return single(np.clip(np.log(max(price, 1e-300) / guess), -SPAN, SPAN))


def _read_off(shares: Tensor, shift: Tensor) -> Tensor:
    """Linear interpolation of each row at its shift."""
    place = (shift.clamp(-SPAN, SPAN) + SPAN) / (2 * SPAN) * (POINTS - 1)
    left = place.detach().floor().long().clamp(0, POINTS - 2)
    part = place - left
    rows = torch.arange(len(shift), device=shift.device)
    return shares[rows, left] * (1 - part) + shares[rows, left + 1] * part
