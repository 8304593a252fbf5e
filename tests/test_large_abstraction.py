"""Abstractions of large markets: block by block, in little memory, the same numbers as in one piece."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from helpers.markets import draw_market
from prillm_or.abstraction import anchored, learned
from prillm_or.abstraction.anchor_network import AnchorNetwork
from prillm_or.abstraction.features import market_features
from prillm_or.abstraction.training.examples import Example, stack
from prillm_or.limits import Limits
from prillm_or.market.synthetic import generate
from prillm_or.solvers.odca import Odca


def drawn_features(n: int, m: int) -> Example:
    rng = np.random.default_rng([n, m])
    share = rng.random(n)
    return {
        "pairs": rng.normal(size=(n, m, 4)),
        "users": rng.normal(size=(n, 5)),
        "rivals": rng.normal(size=(m, 3)),
        "market": rng.normal(size=12),
        "share": share / share.sum(),
        "user_mask": np.ones(n, dtype=bool),
        "rival_mask": np.ones(m, dtype=bool),
    }


MARKETS = [drawn_features(n, m) for n, m in ((1, 1), (5, 3), (11, 7))]
BATCH = {name: torch.from_numpy(value) for name, value in stack(MARKETS).items()}


@pytest.fixture
def network() -> AnchorNetwork:
    """Untrained, but with a head that says something."""
    torch.manual_seed(0)
    made = AnchorNetwork().double()
    torch.nn.init.normal_(list(made.head.parameters())[-2])
    return made


def by_the_book(network: AnchorNetwork, features: Example) -> Tensor:
    """What the network says of one market, as its docstring has it, for all pairs at once."""
    pairs, users, rivals, market, share = (
        torch.from_numpy(features[name]) for name in ("pairs", "users", "rivals", "market", "share")
    )
    n, m = pairs.shape[:2]
    phi = network.pair(torch.cat((pairs, users[:, None].expand(-1, m, -1), rivals.expand(n, -1, -1)), -1))
    sums = (torch.einsum("n,nmh->mh", share, phi), phi.mean(0))
    token = network.rival(torch.cat((*sums, rivals, market.expand(m, -1)), -1))[None]
    for block in network.blocks:
        token = block(token, torch.ones(1, m, dtype=torch.bool))
    mu = torch.relu(network.from_pair(phi) + network.from_rival(token))
    chosen = (network.attention(mu).softmax(1) * mu).sum(1)
    told = network.user(torch.cat((mu.mean(1), mu.amax(1), chosen, users, market.expand(n, -1)), -1))
    shift: Tensor = network.head(torch.cat((share @ told, told.mean(0), token[0].mean(0), market)))[0]
    return shift


@pytest.mark.parametrize("pairs", [1, 50, 10**6])
def test_users_read_in_blocks_tell_the_same(
    network: AnchorNetwork, pairs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Blocks of one user, of two, and of all of them, in a batch of unlike markets."""
    monkeypatch.setattr("prillm_or.abstraction.anchor_network._PAIRS", pairs)
    with torch.no_grad():
        alone = torch.stack([by_the_book(network, features) for features in MARKETS])
        torch.testing.assert_close(network(BATCH), alone, rtol=1e-12, atol=1e-12)
    assert float(alone.std()) > 0.01


def test_derivatives_are_those_of_markets_one_by_one(network: AnchorNetwork, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where they are wanted there is one block, however many pairs; padding moves no weight."""
    monkeypatch.setattr("prillm_or.abstraction.anchor_network._PAIRS", 1)
    weights = list(network.parameters())
    batch = torch.autograd.grad(network(BATCH).sin().sum(), weights)
    alone = torch.stack([by_the_book(network, features) for features in MARKETS]).sin().sum()
    for one, other in zip(batch, torch.autograd.grad(alone, weights), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-11)


def test_features_and_merges_made_in_blocks_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    market = draw_market("weights", 9, 8, 3)

    def all_of_them() -> list[np.ndarray]:
        read = market_features(market)[1]
        merged = anchored.abstract(market, 2, anchor=market.price_cap / 3).market
        return [read.pairs, read.users, read.rivals, read.market, merged.delay]

    whole = all_of_them()
    monkeypatch.setattr("prillm_or.users.threads._BLOCK", 16)
    for one, other in zip(all_of_them(), whole, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-12)


def test_odca_sorts_no_more_rivals_than_it_takes_and_loses_none(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for seed in range(5):
        market = draw_market(kind, 7, 12, seed)
        monkeypatch.setattr("prillm_or.solvers.demand_curve._FIRST", 100)
        every = Odca().solve(market, Limits())
        monkeypatch.setattr("prillm_or.solvers.demand_curve._FIRST", 1)
        few = Odca().solve(market, Limits())
        assert few.prices is not None
        assert every.prices is not None
        np.testing.assert_allclose(few.prices, every.prices, rtol=1e-12)
        assert few.notes == every.notes


MEASURED = """
from pathlib import Path
from prillm_or.abstraction import learned
from prillm_or.market.synthetic import generate

def peak():
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
    return 1024 * int(line.split()[1])

learned.abstract(generate(30, 8, "uniform", 1), 2)
market = generate(2000, 300, "uniform", 1)
before = peak()
learned.abstract(market, 2)
print((peak() - before) / (market.n * market.m))
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak of memory is read from /proc")
def test_learned_needs_little_memory_a_pair() -> None:
    """About 60 bytes; one array of what the network makes of all pairs has 192."""
    done = subprocess.run([sys.executable, "-c", MEASURED], capture_output=True, text=True, timeout=120, check=True)
    assert 8 < float(done.stdout) < 150


def test_phases_are_told(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "prillm_or.abstraction"):
        learned.abstract(generate(12, 6, "uniform", 1), 2)
        anchored.abstract(generate(12, 6, "uniform", 1), 2)
    told = [record.getMessage() for record in caplog.records if record.name.startswith("prillm_or.abstraction")]
    assert told == [
        "learned: features of the market",
        "learned: where to anchor",
        "anchored: equilibrium at the anchor",
        "anchored: equilibrium at the anchor",
    ]
