"""Synthetic markets: the promised draws in the promised order, and statistics like the real ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pytest

from helpers.equality import assert_same
from prillm_or.cli import run
from prillm_or.errors import PrillmError
from prillm_or.files.markets import read_market, write_market
from prillm_or.market.synthetic import generate, latency_network
from prillm_or.users.equilibrium import equilibrium_at

SHAPES: list[Any] = ["uniform", "heavy", "market"]


@pytest.mark.parametrize("seed", [0, 7])
def test_uniform_follows_the_draw_order_of_the_contract(seed: int) -> None:
    n, m = 6, 4
    r = np.random.default_rng(seed)
    D, p, a = r.uniform(5, 100, n), r.uniform(0.2, 5, m), r.uniform(0.5, 2, m)
    d, b = r.uniform(0.2, 3, (n, m)), 0.7 * p + r.uniform(0, 2, m)
    market = generate(n, m, "uniform", seed)
    np.testing.assert_array_equal(market.demand, D)
    np.testing.assert_array_equal(market.price, p)
    np.testing.assert_array_equal(market.capacity, a / a.sum() * D.sum() / 1.5)
    np.testing.assert_array_equal(market.delay, d)
    np.testing.assert_array_equal(market.value, b - b.min())


@pytest.mark.parametrize("seed", [0, 7])
def test_heavy_follows_the_draw_order_of_the_contract(seed: int) -> None:
    n, m = 6, 4
    r = np.random.default_rng(seed)
    D, p, a = np.exp(r.normal(2, 1.3, n)), np.exp(r.normal(0.3, 1, m)), np.exp(r.normal(0, 1, m))
    d, b = r.uniform(0.2, 3, (n, m)), 0.7 * p + r.uniform(0, 2, m)
    market = generate(n, m, "heavy", seed)
    np.testing.assert_array_equal(market.demand, D)
    np.testing.assert_array_equal(market.price, p)
    np.testing.assert_array_equal(market.capacity, a / a.sum() * D.sum() / 1.5)
    np.testing.assert_array_equal(market.delay, d)
    np.testing.assert_array_equal(market.value, b - b.min())


@pytest.mark.parametrize("shape", SHAPES)
def test_names_leader_and_least_value(shape: Any) -> None:
    market = generate(3, 4, shape, 1)
    assert market.name == f"{shape}-3x4-1"
    assert market.user_ids == ("u1", "u2", "u3")
    assert market.leader_ids == ("p4",)
    assert market.value.min() == 0.0
    assert market.unit_cost.tolist() == [0.0] * 4


@pytest.mark.parametrize("shape", ["uniform", "heavy"])
def test_plain_shapes_have_cap_12_and_unit_weights(shape: Any) -> None:
    market = generate(3, 4, shape, 1)
    assert market.price_cap.tolist() == [12.0]
    assert market.price_weight.tolist() == market.congestion_weight.tolist() == market.delay_weight.tolist() == [1] * 3


@pytest.mark.parametrize("latency", [None, "network"])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_seed_gives_the_same_file_and_another_seed_another(tmp_path: Any, shape: Any, latency: Any) -> None:
    first, again, other = (tmp_path / f"{name}.json" for name in ("first", "again", "other"))
    write_market(generate(5, 4, shape, 3, latency), first)
    write_market(generate(5, 4, shape, 3, latency), again)
    write_market(generate(5, 4, shape, 4, latency), other)
    assert first.read_bytes() == again.read_bytes()
    assert first.read_bytes() != other.read_bytes()


def test_the_market_shape_has_the_moments_of_the_real_tables() -> None:
    # Medians and sigmas of `real-markets`: 2000 draws put 4 standard errors of a median at 0.11 sigma.
    market = generate(2000, 2000, "market", 0)
    for values, median, sigma in (
        (market.demand, 21, 1.4),
        (market.price, 0.30, 1.25),
        (market.congestion_weight, 1.5, 0.32),
    ):
        logs = np.log(values)
        assert abs(np.median(logs) - np.log(median)) < 0.12 * sigma
        assert abs(logs.std() / sigma - 1) < 0.07
    requests, first_token = np.log(market.delay.mean(axis=1)), np.log(market.delay.mean(axis=0))
    assert abs(np.corrcoef(np.log(market.demand), requests)[0, 1] + 0.32) < 0.08
    assert abs(np.corrcoef(np.log(market.price), first_token)[0, 1] - 0.37) < 0.08
    assert abs(np.polyfit(market.price, market.value, 1)[0] - 1.8) < 0.05
    # Utilisation times price: at the usual loads Q averages price over the peak-to-mean ratio, 1.95 in the middle.
    utilised = market.capacity * market.price / (market.capacity * market.price).sum()
    assert market.demand.sum() < (market.capacity * market.price).sum() < 3 * market.demand.sum()
    assert utilised.max() < 0.2


def test_the_market_shape_is_as_lively_as_its_docstring_says() -> None:
    active = []
    for seed in range(30):
        market = generate(8, 13, "market", seed)
        assert market.price_cap[0] >= market.price[-1]
        active.append((equilibrium_at(market, market.price[[-1]]).flow > 0).mean())
    assert 0.4 < np.mean(active) < 0.6


@pytest.mark.parametrize("shape", SHAPES)
def test_the_network_changes_delays_alone(shape: Any) -> None:
    plain, networked = generate(5, 4, shape, 2), generate(5, 4, shape, 2, "network")
    for field in ("demand", "price", "capacity", "value", "congestion_weight", "price_cap"):
        np.testing.assert_array_equal(getattr(plain, field), getattr(networked, field))
    assert (plain.delay != networked.delay).all()


def test_network_delays_are_base_times_plus_paths_by_hand() -> None:
    n, m, seed = 4, 3, 5
    r = np.random.default_rng([seed, 1])
    points = r.random((32, 2))
    base, homes, sites = np.exp(r.normal(np.log(1.2), 0.75, m)), r.integers(32, size=n), r.integers(32, size=m)
    radius = 0.2
    while not nx.is_connected(graph := nx.random_geometric_graph(32, radius, pos=dict(enumerate(points)))):
        radius *= 1.1
    for a, b in graph.edges:
        graph.edges[a, b]["weight"] = float(np.hypot(*(points[a] - points[b])))
    expected = [
        [base[j] + 3 * 0.2 * nx.dijkstra_path_length(graph, homes[i], sites[j]) for j in range(m)] for i in range(n)
    ]
    np.testing.assert_allclose(latency_network(n, m, seed), expected, rtol=1e-12)


EXTRAS: dict[str, Any] = {"components": ("input", "output"), "people": 1000, "dispersion": 0.8, "congestion": False}
DRAWN = ("demand", "capacity", "value", "delay", "price_weight", "delay_weight", "congestion_weight")


@pytest.mark.parametrize("shape", SHAPES)
def test_lists_crowds_and_tastes_leave_all_other_draws_as_they_are(shape: Any) -> None:
    plain = generate(6, 4, shape, 2)
    for asked in (["components"], ["people"], ["dispersion"], ["dispersion", "people", "components"]):
        market = generate(6, 4, shape, 2, **{name: EXTRAS[name] for name in asked})
        for field in DRAWN:
            np.testing.assert_array_equal(getattr(plain, field), getattr(market, field))
    everything = generate(6, 4, shape, 2, **EXTRAS)
    assert everything.name == f"{shape}-6x4-2-lists-people-tastes-roomy"
    assert not everything.congested
    np.testing.assert_array_equal(everything.mix, generate(6, 4, shape, 2, components=("input", "output")).mix)


@pytest.mark.parametrize("shape", SHAPES)
def test_price_lists_come_to_the_drawn_prices_at_the_mean_mix(shape: Any) -> None:
    plain, market = generate(6, 4, shape, 3), generate(6, 4, shape, 3, components=["a", "b", "c"])
    np.testing.assert_allclose(market.mix.sum(axis=1), 1.0)
    mean = market.demand @ market.mix / market.demand.sum()
    np.testing.assert_allclose(market.price @ mean, plain.price)
    assert [decision.name for decision in market.decisions] == ["p4.a", "p4.b", "p4.c"]
    np.testing.assert_allclose(market.price_cap @ mean, plain.price_cap[0])
    np.testing.assert_allclose(market.price_cap / market.price[3], plain.price_cap[0] / plain.price[3])


@pytest.mark.parametrize(("users", "people"), [(1, 1), (7, 7), (40, 1_000_000), (3, 10**12)])
def test_users_stand_for_all_people_together(users: int, people: int) -> None:
    count = generate(users, 3, "uniform", 4, people=people).count
    assert count.sum() == people
    assert count.min() >= 1


def test_dispersions_are_about_the_one_asked_for() -> None:
    market = generate(4001, 2, "uniform", 4, dispersion=0.8)
    assert np.median(market.dispersion) == pytest.approx(0.8, rel=0.05)
    assert np.log(market.dispersion).std() == pytest.approx(0.5, rel=0.05)


@pytest.mark.parametrize(
    ("extras", "message"),
    [
        ({"people": 2}, "`people`: expected a whole number >= 3, got 2"),
        ({"dispersion": -1.0}, "`dispersion`: expected a number >= 0, got -1.0"),
        ({"congestion": False}, "`congestion`: without it a `dispersion` > 0 has to spread users"),
        ({"components": "input"}, "`components`: expected names, got 'input'"),
        ({"components": ["input", ""]}, "`components`: expected names, got ['input', '']"),
        ({"components": ["a", "a"]}, "uniform-3x3-0-lists: components: 'a' appears more than once"),
    ],
)
def test_impossible_extras_are_refused(extras: Any, message: str) -> None:
    with pytest.raises(PrillmError) as caught:
        generate(3, 3, **extras)
    assert str(caught.value) == message


def test_the_command_writes_lists_crowds_and_tastes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "sold.json"
    sizes = ["generate", "--users", "5", "--providers", "3", "--out", str(out)]
    extras = ["--components", "input, output", "--people", "90", "--dispersion", "0.5", "--no-congestion"]
    assert run([*sizes, *extras]) == 0
    expected = generate(5, 3, components=["input", "output"], people=90, dispersion=0.5, congestion=False)
    assert_same(read_market(out).market, expected)
    assert run(["validate", str(out)]) == 0
    assert "5 users (90 people), 3 providers, components input, output" in " ".join(capsys.readouterr().out.split())
    assert run([*sizes, "--no-congestion"]) == 2
    assert "--congestion: without it a --dispersion > 0" in capsys.readouterr().err


TOO_LARGE = "`users`, `providers`: such a market fills more than 1 GiB, the most that is read of a file"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 3, "uniform", 0), "`users`: expected a whole number >= 1, got 0"),
        ((3, 1, "uniform", 0), "`providers`: expected a whole number >= 2, got 1"),
        ((3, 3, "uniform", -1), "`seed`: expected a whole number >= 0, got -1"),
        ((10**5, 10**5), TOO_LARGE),
        ((10**8, 2), TOO_LARGE),
        ((10**5000, 10**5000), TOO_LARGE),
        ((3, 3, "round", 0), "`shape`: expected uniform, heavy or market, got 'round'"),
        ((3, 3, "uniform", 0, "fibre"), "`latency`: expected network, got 'fibre'"),
    ],
)
def test_impossible_requests_are_refused(arguments: Any, message: str) -> None:
    with pytest.raises(PrillmError) as caught:
        generate(*arguments)
    assert str(caught.value) == message
