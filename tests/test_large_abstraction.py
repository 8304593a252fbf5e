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
from prillm_or.abstraction.encoder import Encoded, Encoder, Widths
from prillm_or.abstraction.features import market_features, rival_features
from prillm_or.abstraction.substitution import substitution
from prillm_or.abstraction.training.examples import Example, stack
from prillm_or.limits import Limits
from prillm_or.market.synthetic import generate
from prillm_or.solvers.odca import Odca
from prillm_or.users.equilibrium import solve_users
from prillm_or.users.problem import user_problem

WIDTHS = Widths(pair=4, user=5, rival=3, market=12, hidden=8)


def drawn_features(n: int, m: int) -> Example:
    rng = np.random.default_rng([n, m])
    share = rng.random(n)
    return {
        "pairs": rng.normal(size=(n, m, WIDTHS.pair)),
        "users": rng.normal(size=(n, WIDTHS.user)),
        "rivals": rng.normal(size=(m, WIDTHS.rival)),
        "market": rng.normal(size=WIDTHS.market),
        "share": share / share.sum(),
        "user_mask": np.ones(n, dtype=bool),
        "rival_mask": np.ones(m, dtype=bool),
    }


MARKETS = [drawn_features(n, m) for n, m in ((1, 1), (5, 3), (11, 7))]
BATCH = {name: torch.from_numpy(value) for name, value in stack(MARKETS).items()}


@pytest.fixture
def encoder() -> Encoder:
    torch.manual_seed(0)
    return Encoder(WIDTHS).double()


def by_the_book(encoder: Encoder, features: Example) -> tuple[Tensor, Tensor]:
    """Tokens of the rivals of one market and its own, as the encoder's docstring says, for all pairs at once."""
    pairs, users, rivals, market, share = (
        torch.from_numpy(features[name]) for name in ("pairs", "users", "rivals", "market", "share")
    )
    n, m = pairs.shape[:2]
    phi = encoder.pair(torch.cat((pairs, users[:, None].expand(-1, m, -1), rivals.expand(n, -1, -1)), -1))
    sums = (torch.einsum("n,nmh->mh", share, phi), phi.mean(0))
    token = encoder.rival(torch.cat((*sums, rivals, market.expand(m, -1)), -1))[None]
    for block in encoder.blocks:
        token = block(token, torch.ones(1, m, dtype=torch.bool))
    mu = torch.relu(encoder.from_pair(phi) + encoder.from_rival(token))
    chosen = (encoder.attention(mu).softmax(1) * mu).sum(1)
    told = encoder.user(torch.cat((mu.mean(1), mu.amax(1), chosen, users, market.expand(n, -1)), -1))
    return token[0], torch.cat((share @ told, told.mean(0), token[0].mean(0), market))


def assert_by_the_book(encoder: Encoder, found: Encoded) -> None:
    for row, features in enumerate(MARKETS):
        rivals, market = by_the_book(encoder, features)
        torch.testing.assert_close(found.rivals[row, : len(rivals)], rivals, rtol=1e-12, atol=1e-12)
        assert (found.rivals[row, len(rivals) :] == 0).all()
        torch.testing.assert_close(found.market[row], market, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("pairs", [1, 50, 10**6])
def test_users_read_in_blocks_tell_the_same(encoder: Encoder, pairs: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of one user, of two, and of all of them, in a batch of unlike markets."""
    monkeypatch.setattr("prillm_or.abstraction.encoder._PAIRS", pairs)
    with torch.no_grad():
        assert_by_the_book(encoder, encoder(BATCH))


def test_derivatives_are_those_of_markets_one_by_one(encoder: Encoder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where they are wanted there is one block, however many pairs; padding moves no weight."""
    monkeypatch.setattr("prillm_or.abstraction.encoder._PAIRS", 1)
    found = encoder(BATCH)
    assert_by_the_book(encoder, found)
    weights = list(encoder.parameters())
    batch = torch.autograd.grad(found.market.sin().sum() + found.rivals.sin().sum(), weights)
    alone = sum(token.sin().sum() for features in MARKETS for token in by_the_book(encoder, features))
    assert isinstance(alone, Tensor)
    for one, other in zip(batch, torch.autograd.grad(alone, weights), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-11)


def test_features_and_merges_made_in_blocks_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    market = draw_market("weights", 9, 8, 3)
    users = user_problem(market)
    found = solve_users(users, market.price_cap / 3)
    answer = substitution(users, found.laplacian)

    def all_of_them() -> list[np.ndarray]:
        read = (market_features(market, users)[1], rival_features(market, users, found, answer))
        merged = anchored.abstract(market, 2, anchor=found.prices).market
        return [*(getattr(one, name) for one in read for name in ("pairs", "users", "rivals", "market")), merged.delay]

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
    """About 60 bytes; one array of what the encoder makes of all pairs has 192."""
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
        "learned: equilibrium at the anchor",
        "learned: rivals to keep",
        "anchored: equilibrium at the anchor",
    ]
