r"""Learning the paper's scores: how far the leader's profit curve in the small market is from that in the full one.

    loss = mean over L sampled prices of ((Psi_small(p) - Psi(p)) / max |Psi|)^2, for K = 1 and K = 2 alike.

Psi comes from the pieces that `path` traced in the full market; Psi_small(p) = (p - k) x_s(p) from the equilibrium of
the small market, differentiated through `users/differentiable.py`. Merged rivals are merged in offsets: these are
linear in (p, d, b), so that the weighted means of all three are the weighted mean of the offsets.

**What the scores learn from.** Which rivals are kept has no derivative. As in the paper, a kept rival's scores enter
nothing and get no gradient there; score_avg learns as a weight of the means, from markets in which the rival was
merged, and ranks the rivals to keep by what it learned there: who counts for much in the means comes first.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from prillm_or.abstraction.learned_paper import abstract_with
from prillm_or.abstraction.paper_network import PaperNetwork, Plan, plan, rival_features
from prillm_or.abstraction.small_market import Abstraction
from prillm_or.abstraction.training.curves import exact_curve
from prillm_or.abstraction.training.examples import Example, single
from prillm_or.abstraction.training.fit import Batch, Schedule
from prillm_or.abstraction.training.learn import KEEP
from prillm_or.abstraction.training.scenarios import scenario
from prillm_or.curves.profit_curve import ProfitCurve
from prillm_or.market.market import Market
from prillm_or.users.differentiable import equilibrium_flows
from prillm_or.users.problem import user_problem

PRICES = 32
"""Number L of prices at which the curves are compared."""


def example_of(market: Market, curve: ProfitCurve, rng: np.random.Generator) -> Example:
    """Example of a market of a leader with one provider, its prices drawn by `rng`.

    Float64 but for `features`; money is scaled (`users/equilibrium.py`). With n users and r rivals: `features` (r,
    FEATURES), `is_rival` (r,), `is_user` (n,); `offsets` (n, r) of the rivals, `own_offsets` (n,) of the leader at
    price 0, `sensitivity` (n,), `capacity` (r,), `own_capacity` (1,), `demand` (n,); and at the sampled prices `price`
    (L,), what is left of them after the unit cost `margin` (L,), and the full market's profit over `scale`, `profit`
    (L,).

    Prices are spread over [0, min(cap, 2 x best price)], one drawn from each of L equal parts.
    """
    users, rivals, own = user_problem(market), list(market.rivals), market.leader[0]
    top = min(float(market.price_cap[0]), 2.0 * curve.best.price)
    price = top * (np.arange(PRICES) + rng.random(PRICES)) / PRICES
    profit = curve.profit(price)
    scale = max(float(np.abs(profit).max()), curve.best.profit)
    return {
        "features": single(rival_features(market)),
        "is_rival": np.ones(len(rivals), dtype=bool),
        "is_user": np.ones(market.n, dtype=bool),
        "offsets": users.base[:, rivals],
        "own_offsets": users.base[:, own],
        "sensitivity": users.sensitivity[:, 0],
        "capacity": market.capacity[rivals],
        "own_capacity": market.capacity[[own]],
        "demand": market.demand,
        "price": price,
        "margin": price - curve.unit_cost,
        "profit": profit / scale,
        "scale": np.array([scale]),
    }


@dataclass(frozen=True)
class PaperLesson:
    """See the module docstring."""

    def example(self, seed: int) -> Example | None:
        """What `losses` needs of the scenario of a seed, by `example_of`; None where no price earns anything."""
        market = scenario(seed)
        curve = exact_curve(market)
        return None if curve is None else example_of(market, curve, np.random.default_rng(seed))

    def schedule(self, asked: Schedule) -> Schedule:
        """Slow and patient: kept rivals get no gradient, and the noise would end a run before the rate has fallen."""
        return replace(asked, rate=asked.rate / 3, patience=asked.epochs)

    def network(self) -> nn.Module:
        """New network."""
        return PaperNetwork()

    def losses(self, network: nn.Module, batch: Batch) -> Tensor:
        """Loss of each market, shape (B,); every market has more than two rivals."""
        scores = cast("PaperNetwork", network)(batch["features"], batch["is_rival"])
        losses = [curve_losses(batch, plan(scores, batch["is_rival"], keep)) for keep in KEEP]
        return torch.stack(losses).mean(0)

    def abstract(self, network: nn.Module, market: Market, keep: int) -> Abstraction:
        """Leave `keep` rivals, scored by this network."""
        return abstract_with(cast("PaperNetwork", network), market, keep)


def curve_losses(batch: Batch, chosen: Plan) -> Tensor:
    """Mean squared difference of the profit curves of each market, shape (B,)."""
    load = _leader_loads(batch, chosen)
    return ((batch["margin"] * load / batch["scale"] - batch["profit"]) ** 2).mean(-1)


def _leader_loads(batch: Batch, chosen: Plan) -> Tensor:
    """The leader's loads in the small markets at the sampled prices, shape (B, L)."""
    offsets, capacity = _small_rivals(batch, chosen)
    own = batch["own_offsets"][:, None] + batch["price"][..., None] * batch["sensitivity"][:, None]
    lessons, prices = batch["price"].shape
    everything = torch.cat((own[..., None], offsets[:, None].expand(-1, prices, -1, -1)), -1)
    capacities = torch.cat((batch["own_capacity"], capacity), -1)
    flow = equilibrium_flows(
        everything.flatten(0, 1),
        capacities.repeat_interleave(prices, 0),
        batch["demand"].repeat_interleave(prices, 0),
        present=batch["is_user"].repeat_interleave(prices, 0),
    )
    return flow[..., 0].sum(1).view(lessons, prices)


def _small_rivals(batch: Batch, chosen: Plan) -> tuple[Tensor, Tensor]:
    """Offsets (B, n, K) and capacities (B, K) of the rivals left: the kept ones, and last the merged one."""
    weight, share = chosen.weight.to(batch["offsets"].dtype), chosen.share.to(batch["capacity"].dtype)
    merged_offsets = batch["offsets"] @ weight[..., None]
    merged_capacity = (share * batch["capacity"]).sum(-1, keepdim=True)
    places = chosen.kept[:, None].expand(-1, batch["offsets"].shape[1], -1)
    offsets = torch.cat((batch["offsets"].gather(-1, places), merged_offsets), -1)
    return offsets, torch.cat((batch["capacity"].gather(-1, chosen.kept), merged_capacity), -1)
