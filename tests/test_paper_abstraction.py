"""learned-paper: the paper's network, its merge and its loss."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from math import log
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from helpers.markets import draw_market, in_other_units, make_market
from prillm_or.abstraction.learned_paper import abstract, abstract_with, merge
from prillm_or.abstraction.paper_network import FEATURES, PaperNetwork, Scores, plan, rival_features
from prillm_or.abstraction.set_attention import SetAttentionBlock
from prillm_or.abstraction.training.curves import exact_curve
from prillm_or.abstraction.training.examples import stack
from prillm_or.abstraction.training.learned_paper import PRICES, PaperLesson, curve_losses, example_of
from prillm_or.abstraction.weights import write_weights
from prillm_or.curves.profit_curve import ProfitCurve
from prillm_or.errors import CombinationError
from prillm_or.market.market import Market
from prillm_or.market.synthetic import Shape, generate
from prillm_or.users.equilibrium import equilibrium_at


@dataclass(frozen=True)
class Lesson:
    """A market and its exact curve."""

    market: Market
    curve: ProfitCurve


def lesson_of(market: Market) -> Lesson:
    curve = exact_curve(market)
    assert curve is not None
    return Lesson(market, curve)


def batch_of(lessons: Sequence[Lesson], rng: np.random.Generator) -> dict[str, torch.Tensor]:
    made = stack([example_of(lesson.market, lesson.curve, rng) for lesson in lessons])
    return {name: torch.from_numpy(value) for name, value in made.items()}


def losses_of(network: PaperNetwork, batch: dict[str, torch.Tensor], keep: int) -> torch.Tensor:
    present = batch["is_rival"]
    return curve_losses(batch, plan(network(batch["features"], present), present, keep))


@pytest.fixture(scope="module")
def lessons() -> list[Lesson]:
    shapes: tuple[Shape, ...] = ("uniform", "heavy", "market")
    return [lesson_of(generate(4 + 3 * s, 6 + s, shapes[s % 3], s)) for s in range(6)]


@pytest.fixture
def network() -> PaperNetwork:
    """Untrained, but with heads that tell rivals apart."""
    torch.manual_seed(0)
    made = PaperNetwork()
    torch.nn.init.normal_(made.heads.weight, std=0.3)
    return made


def leader_load(market: Market, price: float) -> float:
    return float(equilibrium_at(market, [price]).load[market.leader[0]])


def permuted(market: Market, order: NDArray[np.int64]) -> Market:
    return replace(
        market,
        provider_ids=tuple(market.provider_ids[j] for j in order),
        leader=tuple(int(np.flatnonzero(order == j)[0]) for j in market.leader),
        delay=market.delay[:, order],
        **{name: getattr(market, name)[order] for name in ("price", "capacity", "value", "unit_cost")},
    )


def test_attention_sees_no_order_and_no_padding() -> None:
    torch.manual_seed(1)
    block = SetAttentionBlock(8, 2)
    elements, present = torch.randn(2, 5, 8), torch.tensor([[True] * 5, [True] * 3 + [False] * 2])
    seen = block(elements, present)
    order = torch.tensor([3, 0, 4, 1, 2])
    torch.testing.assert_close(block(elements[:, order], present[:, order]), seen[:, order])
    torch.testing.assert_close(block(elements[1:, :3], present[1:, :3]), seen[1:, :3])
    assert seen.isfinite().all()
    with pytest.raises(ValueError, match="heads: expected a divisor"):
        SetAttentionBlock(8, 3)


@pytest.mark.parametrize("leaders", [1, 3])
def test_features_know_neither_units_nor_order(kind: str, leaders: int) -> None:
    market = draw_market(kind, 5, 7, 2, leaders)
    features = rival_features(market)
    assert features.shape == (7 - leaders, FEATURES)
    money, volume = 1e3, 1e-6
    other = in_other_units(market, money, volume)
    other = replace(other, value=other.value + 17.0)
    np.testing.assert_allclose(rival_features(other), features, rtol=1e-9, atol=1e-9)

    order = np.random.default_rng(0).permutation(7)
    turned = permuted(market, order)
    where = [market.rivals.index(int(order[j])) for j in turned.rivals]
    np.testing.assert_allclose(rival_features(turned), features[where], rtol=1e-12, atol=1e-12)
    mixed = np.random.default_rng(1).permutation(5)
    users = ("demand", "price_weight", "congestion_weight", "delay_weight", "delay")
    same = replace(market, **{name: getattr(market, name)[mixed] for name in users})
    np.testing.assert_allclose(rival_features(same), features, rtol=1e-12, atol=1e-12)


def test_permuting_rivals_changes_nothing(network: PaperNetwork) -> None:
    market = generate(6, 9, "uniform", 4)
    one = abstract_with(network, market, 3)
    other = abstract_with(network, permuted(market, np.random.default_rng(0).permutation(9)), 3)
    assert set(one.kept) == set(other.kept)
    (weights,), (same,) = one.merged.values(), other.merged.values()
    assert weights == pytest.approx(same, rel=1e-5)
    load, other_load = (leader_load(found.market, 2.0) for found in (one, other))
    assert load == pytest.approx(other_load, rel=1e-5)


@pytest.mark.parametrize("keep", [1, 2, 5])
@pytest.mark.parametrize("leaders", [1, 2])
def test_any_number_of_rivals(network: PaperNetwork, keep: int, leaders: int) -> None:
    market = draw_market("weights", 4, 8, 0, leaders)
    found = abstract_with(network, market, keep)
    assert found.market.m == leaders + keep
    assert len(found.kept) == keep - 1
    assert found.equilibrium is None
    (weights,) = found.merged.values()
    assert set(weights) | set(found.kept) == {market.provider_ids[j] for j in market.rivals}
    assert sum(weights.values()) == pytest.approx(1.0)


def test_few_rivals_stay_as_they_are(network: PaperNetwork, small_market: Market) -> None:
    assert abstract_with(network, small_market, 2).market is small_market
    assert abstract(small_market, 2).market is small_market  # weights are not even looked for


@pytest.mark.parametrize(
    "fields",
    [
        {"components": ("input", "output"), "mix": np.ones((2, 2)), "price_cap": np.full(2, 9.0)},
        {"decides": "factor"},
        {"count": [2, 1]},
        {"dispersion": [0, 1]},
        {"user_values": [[np.nan, np.nan, 1], [np.nan] * 3]},
    ],
    ids=lambda fields: next(iter(fields)),
)
def test_what_the_papers_markets_have_not_is_refused_in_one_line(fields: dict[str, Any]) -> None:
    market = make_market(**fields)
    assert abstract(market, 2).market is market  # nothing to merge
    with pytest.raises(CombinationError, match=r"learned-paper takes neither price lists .*; anchored does$"):
        abstract(market, 1)


def test_weights_from_a_file(network: PaperNetwork, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("weights") / "mine.safetensors"
    write_weights(path, "learned-paper", network, {})
    market = generate(5, 7, "heavy", 1)
    read, given = abstract(market, 2, weights=str(path)), abstract_with(network, market, 2)
    assert read.kept == given.kept
    np.testing.assert_array_equal(read.market.capacity, given.market.capacity)


def test_the_best_are_kept_and_the_others_merged() -> None:
    log_avg = torch.tensor([[0.0, 2.0, log(3.0), 1.5, 9.0], [1.0, 0.0, 5.0, 6.0, 9.0]])
    present = torch.tensor([[True] * 4 + [False], [True] * 4 + [False]])
    chosen = plan(Scores(torch.arange(1.0, 6.0).expand(2, 5), log_avg), present, 3)
    assert chosen.kept.tolist() == [[1, 3], [3, 2]]
    torch.testing.assert_close(chosen.weight[0], torch.tensor([0.25, 0.0, 0.75, 0.0, 0.0]))
    assert chosen.share.tolist() == [[1, 0, 3, 0, 0], [1, 2, 0, 0, 0]]


def test_merge_by_hand() -> None:
    # p1 leads; p3 stays; p2, p4 merge with weights 1/4, 3/4 and shares 1/2, 2: capacity 3/2 + 2 * 5.
    market = make_market(
        provider_ids=("p1", "p2", "p3", "p4"),
        value=[0, 1, 0, 3],
        price_weight=[1, 2],
        congestion_weight=[1, 3],
        delay_weight=[2, 1],
    )
    small = merge(market, [1], np.array([1.0, 9.0, 3.0]), np.array([0.5, 9.0, 2.0]))
    assert small.kept == ("p3",)
    ((name, weights),) = small.merged.items()
    assert small.market.provider_ids == ("p1", "p3", name)
    assert weights == pytest.approx({"p2": 0.25, "p4": 0.75})
    np.testing.assert_allclose(small.market.capacity, [2, 4, 11.5])
    np.testing.assert_allclose(small.market.price[1:], [3, 3.5])
    # d = 1/4, 3/4 for user 1 and 5/4, 7/4 for user 2: means 5/8 and 13/8; b_a = 5/2.
    cost = market.price_weight * 3.5 + market.delay_weight * np.array([0.625, 1.625]) - 2.5
    made = small.market
    np.testing.assert_allclose(made.price_weight * 3.5 + made.delay[:, 2] - made.value[2], cost, rtol=1e-12)


@pytest.mark.parametrize("keep", [1, 3])
def test_loss_is_that_of_the_small_market(network: PaperNetwork, lessons: list[Lesson], keep: int) -> None:
    batch = batch_of(lessons[:1], np.random.default_rng(5))
    full, small = lessons[0].market, abstract_with(network, lessons[0].market, keep).market
    prices = batch["price"][0].numpy()
    assert prices.shape == (PRICES,)
    assert all(low < high for low, high in pairwise(prices))
    exact = np.array([p * leader_load(full, p) for p in prices])
    approximate = np.array([p * leader_load(small, p) for p in prices])
    scale = max(exact.max(), lessons[0].curve.best.profit)
    np.testing.assert_allclose(batch["profit"][0].numpy(), exact / scale, rtol=0, atol=1e-10)
    expected = np.mean(((approximate - exact) / scale) ** 2)
    # The network is in float32.
    assert float(losses_of(network, batch, keep)[0].detach()) == pytest.approx(expected, rel=1e-4)


def test_padding_changes_nothing(network: PaperNetwork, lessons: list[Lesson]) -> None:
    together = losses_of(network, batch_of(lessons, np.random.default_rng(0)), 2).detach()
    rng = np.random.default_rng(0)
    alone = [float(losses_of(network, batch_of([lesson], rng), 2)[0].detach()) for lesson in lessons]
    np.testing.assert_allclose(together.numpy(), alone, rtol=1e-4)


def test_loss_slopes_by_finite_differences(network: PaperNetwork, lessons: list[Lesson]) -> None:
    network = network.double()
    batch = batch_of(lessons, np.random.default_rng(1))
    batch["features"] = batch["features"].double()
    losses_of(network, batch, 2).mean().backward()  # type: ignore[no-untyped-call]
    weight = network.heads.bias
    assert weight.grad is not None
    slope = float(weight.grad[0])
    with torch.no_grad():
        weight[0] += 1e-6
        above = float(losses_of(network, batch, 2).mean())
        weight[0] -= 2e-6
        below = float(losses_of(network, batch, 2).mean())
    assert slope == pytest.approx((above - below) / 2e-6, rel=1e-4)


def test_market_that_earns_nothing_teaches_nothing() -> None:
    assert exact_curve(make_market(value=[0, 500, 500])) is None


@pytest.mark.slow
def test_a_few_steps_lower_the_loss(lessons: list[Lesson]) -> None:
    torch.manual_seed(0)
    task = PaperLesson()
    network = task.network()
    batch = batch_of(lessons, np.random.default_rng(2))
    descent = torch.optim.AdamW(network.parameters(), 1e-3)
    losses = []
    for _ in range(30):
        loss = task.losses(network, batch).mean()
        losses.append(float(loss.detach()))
        descent.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        descent.step()
    assert losses[-1] < 0.5 * losses[0]
