"""Learning whom to keep: what each choice really earns, by `path` on the small market and the exact full curve.

An example is a scenario at the anchor that the other network gave it: features of the full equilibrium there, and for
every set of kept rivals that was tried (none; each one alone; some of three) the share of the best profit that the
small market's best price earns in the full market, for each of the caps in `REACHES`. Choices are few, so nothing need
be differentiated through a market: with choices drawn from the softmax of the scores, the expected loss is a plain sum.

Sets of one teach the scores. Sets of every size teach the reach, the empty one (K = 1) twice: trust matters most there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from prillm_or.abstraction.anchored import merge_at
from prillm_or.abstraction.encoder import Encoded
from prillm_or.abstraction.features import rival_features
from prillm_or.abstraction.networks import REACHES, KeepNetwork
from prillm_or.abstraction.substitution import substitution
from prillm_or.abstraction.training.curves import exact_curve, shares_of
from prillm_or.abstraction.training.examples import Example, single
from prillm_or.abstraction.training.fit import Batch
from prillm_or.abstraction.training.scenarios import scenario
from prillm_or.market.market import Array
from prillm_or.users.equilibrium import solve_users
from prillm_or.users.problem import user_problem

_TRIPLES = 4
_UNIT = 1e-3


def example(item: tuple[int, float]) -> Example | None:
    """Features and outcomes of the scenario of a seed at an anchor, `item` = (seed, anchor)."""
    seed, anchor = item
    market = scenario(seed)
    curve = exact_curve(market)
    if curve is None:
        return None
    users = user_problem(market)
    found = solve_users(users, np.array([anchor]))
    answer = substitution(users, found.laplacian)
    features = rival_features(market, users, found, answer)
    gains = answer.load[list(market.rivals)]
    kept = _sets(gains, np.random.default_rng(seed))
    caps = np.minimum(anchor * np.array(REACHES), market.price_cap[0])
    reduced = [merge_at(market, users, found, answer, row, "anchored").market for row in kept]
    shares = [np.clip(shares_of(small, curve, caps), 0.0, 1.0) for small in reduced]
    return {
        **features.arrays(),
        "kept": kept,
        "set_mask": np.ones(len(kept), dtype=bool),
        "shares": single(shares),
    }


def _sets(gains: Array, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Sets of kept rivals, shape (S, m): none, each one, and a few of three that lean to those that gain most."""
    m = len(gains)
    sets = [np.zeros(m, dtype=bool), *np.eye(m, dtype=bool)]
    weight = gains - min(gains.min(), 0.0) + 0.1 * np.abs(gains).mean() + 1e-12
    for _ in range(_TRIPLES if m > 4 else 0):
        row = np.zeros(m, dtype=bool)
        row[rng.choice(m, 3, replace=False, p=weight / weight.sum())] = True
        sets.append(row)
    return np.array(sets)


@dataclass(frozen=True)
class KeepTask:
    """See the module docstring."""

    def network(self) -> nn.Module:
        """New network."""
        return KeepNetwork()

    def losses(self, network: nn.Module, batch: Batch) -> Tensor:
        """Expected loss of profit, in tenths of a percent, of each market, shape (B,).

        The sum of three: over whom to keep alone, with nobody kept, and on average over all sets.
        """
        keep = cast("KeepNetwork", network)
        tokens, scores = cast("tuple[Encoded, Tensor]", keep(batch))
        lost = (1.0 - batch["shares"]).clamp(min=0.0) / _UNIT
        by_set = (keep.reach(tokens, batch["kept"]).softmax(-1) * lost).sum(-1) * batch["set_mask"]
        # Rows 1..m are the sets of one, in the order of the rivals.
        alone = by_set[:, 1 : 1 + scores.shape[1]] * batch["rival_mask"]
        kept = (scores.softmax(-1) * alone.detach()).sum(-1)
        return kept + by_set[:, 0] + by_set.sum(-1) / batch["set_mask"].sum(-1)
