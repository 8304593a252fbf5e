"""Training: scenarios, examples in chunks, fitting that survives a kill, weights that fit or are refused."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from helpers.commands import PROGRAM, interrupted, running, wait_until
from helpers.markets import in_other_units
from prillm_or.abstraction.anchor_network import SPAN, AnchorNetwork
from prillm_or.abstraction.features import market_features
from prillm_or.abstraction.training.course import Course
from prillm_or.abstraction.training.curves import exact_curve, share_of
from prillm_or.abstraction.training.examples import Example, computed, pack, single, stack, unpack
from prillm_or.abstraction.training.fit import Batch, Schedule, fit
from prillm_or.abstraction.training.learned import POINTS, AnchorLesson
from prillm_or.abstraction.training.scenarios import REAL, Sizes, kind_of, scenario
from prillm_or.abstraction.weights import load_network, write_weights
from prillm_or.cli import run
from prillm_or.errors import PrillmError
from prillm_or.solving.run import solve
from prillm_or.users.equilibrium import equilibrium_at
from prillm_or.workers.engine import Engine

SMALL = ("--scenarios", "100", "--epochs", "3", "--jobs", "1")


@pytest.mark.parametrize("seed", range(8))
def test_scenarios_are_drawn_the_same_again_and_are_new_for_every_seed(seed: int) -> None:
    market, again, other = scenario(seed), scenario(seed), scenario(seed + 4)
    assert kind_of(seed) == kind_of(seed + 4)
    np.testing.assert_array_equal(market.delay, again.delay)
    assert market.leader == again.leader
    assert market.demand.shape != other.demand.shape or not np.array_equal(market.demand, other.demand)


def test_sizes_are_those_asked_for() -> None:
    drawn = [scenario(seed, Sizes(users=(2, 3), rivals=(5, 5))) for seed in range(20) if kind_of(seed) != "real"]
    assert {market.n for market in drawn} == {2, 3}
    assert {len(market.rivals) for market in drawn} == {5}


def test_real_scenarios_leave_out_the_market_kept_for_judging() -> None:
    assert "roleplay-10" not in REAL
    names = {scenario(seed).name for seed in range(3, 60, 4)}
    assert names == set(REAL)


def test_courses_share_no_seed() -> None:
    first, second = Course(1000, Schedule(seed=0), Engine(), 1), Course(1000, Schedule(seed=1), Engine(), 1)
    seeds = [seed for course in (first, second) for part in course.seeds() for seed in part]
    assert len(seeds) == len(set(seeds))
    assert min(seeds) >= 1_000_000


@pytest.mark.parametrize("seed", range(4))
def test_curve_is_the_profit_at_equilibrium(seed: int) -> None:
    market = scenario(seed)
    curve = exact_curve(market)
    assert curve is not None
    prices = np.linspace(0, 0.999, 7) * market.price_cap[0]
    exact = [(p - curve.unit_cost) * equilibrium_at(market, [p]).load[market.leader[0]] for p in prices]
    np.testing.assert_allclose(curve.profit(prices), exact, atol=1e-9 * curve.best.profit)
    assert curve.best.profit == pytest.approx(solve(market, solver="path").profit, rel=1e-10)


@pytest.mark.parametrize("cap", [0.4, 1.0, 12.0])
def test_share_of_a_small_market_is_that_of_its_best_price_up_to_its_cap(cap: float) -> None:
    market = scenario(1)
    full, small = exact_curve(market), replace(market, price_cap=np.array([cap]))
    assert full is not None
    assert share_of(small, full) == pytest.approx(solve(small, solver="path").profit / full.best.profit, rel=1e-9)


def ragged(item: int) -> Example | None:
    """Arrays of the item's size; multiples of 7 have none."""
    if item % 7 == 0:
        return None
    values = np.arange(item * 2.0).reshape(item, 2)
    return {"pairs": single(values), "on": np.ones(item, dtype=bool), "target": single(item)}


def test_examples_come_back_from_their_chunk(tmp_path: Path) -> None:
    made = [one for item in range(1, 6) if (one := ragged(item)) is not None]
    (tmp_path / "chunk.npz").write_bytes(pack(made))
    found = unpack(tmp_path / "chunk.npz")
    assert found is not None
    for one, again in zip(made, found, strict=True):
        assert one.keys() == again.keys()
        for name, value in one.items():
            assert again[name].dtype == value.dtype
            np.testing.assert_array_equal(again[name], value)


def test_chunks_that_are_there_are_not_computed_again(tmp_path: Path) -> None:
    first = computed(ragged, range(1, 9), tmp_path, "some", Engine())
    assert len(first) == 7

    def never(item: int) -> Example | None:
        raise AssertionError(item)

    again = computed(never, range(1, 9), tmp_path, "some", Engine())
    assert [one["target"] for one in again] == [one["target"] for one in first]


@pytest.mark.parametrize("broken", [b"", b"PK\x03\x04 cut short", b"no archive"])
def test_a_chunk_that_cannot_be_read_is_computed_anew(broken: bytes, tmp_path: Path) -> None:
    computed(ragged, range(1, 9), tmp_path, "some", Engine())
    (path,) = tmp_path.iterdir()
    path.write_bytes(broken)
    assert len(computed(ragged, range(1, 9), tmp_path, "some", Engine())) == 7
    assert unpack(path) is not None


def test_padding_is_zero() -> None:
    short, long = {"a": np.ones((2, 3)), "on": np.ones(2, bool)}, {"a": np.ones((3, 1)), "on": np.ones(3, bool)}
    stacked = stack([short, long])
    assert stacked["a"].shape == (2, 3, 3)
    assert stacked["a"].sum() == 9
    assert stacked["on"].tolist() == [[True, True, False], [True, True, True]]


@dataclass(frozen=True)
class MeanTask:
    """Learn a weighted sum of the two columns."""

    def network(self) -> nn.Module:
        return nn.Linear(2, 1)

    def losses(self, network: nn.Module, batch: Batch) -> Tensor:
        said = (network(batch["pairs"]).squeeze(-1) * batch["on"]).sum(-1)
        return torch.square(said / 10 - batch["target"] / 10)


def lessons(count: int) -> Sequence[Example]:
    return [one for item in range(1, count) if (one := ragged(item)) is not None]


def test_a_fit_that_stops_goes_on_to_the_same_weights(tmp_path: Path) -> None:
    schedule = Schedule(epochs=6, batch=4, rate=1e-2)
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    straight = fit(MeanTask(), lessons(20), lessons(8), schedule, tmp_path / "a", "mean")
    stops = _StopsAfter(3)
    with pytest.raises(KeyboardInterrupt):
        fit(stops, lessons(20), lessons(8), schedule, tmp_path / "b", "mean")
    resumed = fit(MeanTask(), lessons(20), lessons(8), schedule, tmp_path / "b", "mean")
    assert resumed.history == straight.history
    assert straight.history[-1].training < straight.history[0].training
    for name, value in straight.weights.items():
        assert torch.equal(value, resumed.weights[name])


class _StopsAfter(MeanTask):
    """Ctrl-C in the middle of an epoch."""

    def __init__(self, epochs: int) -> None:
        object.__setattr__(self, "calls", 0)
        object.__setattr__(self, "most", 7 * epochs + 2)

    calls: int
    most: int

    def losses(self, network: nn.Module, batch: Batch) -> Tensor:
        object.__setattr__(self, "calls", self.calls + 1)
        if self.calls > self.most:
            raise KeyboardInterrupt
        return super().losses(network, batch)


def test_checkpoint_of_another_run_is_refused(tmp_path: Path) -> None:
    fit(MeanTask(), lessons(10), lessons(5), Schedule(epochs=1), tmp_path, "mean")
    with pytest.raises(PrillmError, match="another run"):
        fit(MeanTask(), lessons(10), lessons(5), Schedule(epochs=2), tmp_path, "mean")


def test_a_broken_checkpoint_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mean.safetensors").write_bytes(b"cut short")
    with pytest.raises(PrillmError, match=r"mean\.safetensors: not a checkpoint.*remove it"):
        fit(MeanTask(), lessons(10), lessons(5), Schedule(epochs=1), tmp_path, "mean")
    save_file({"x": torch.zeros(1)}, tmp_path / "mean.safetensors")
    with pytest.raises(PrillmError, match="another run"):
        fit(MeanTask(), lessons(10), lessons(5), Schedule(epochs=1), tmp_path, "mean")


def test_fitting_stops_when_it_no_longer_helps(tmp_path: Path) -> None:
    schedule = Schedule(epochs=50, patience=2, rate=0.0)
    assert len(fit(MeanTask(), lessons(10), lessons(5), schedule, tmp_path, "mean").history) == 3


@pytest.mark.slow
def test_a_killed_training_run_ends_as_if_it_had_not_been(tmp_path: Path) -> None:
    straight, killed = tmp_path / "straight.safetensors", tmp_path / "killed.safetensors"
    assert run(["train", "--out", str(straight), *SMALL]) == 0
    with running(*PROGRAM, "train", "--out", str(killed), *SMALL) as process:
        checkpoint = tmp_path / "killed.safetensors.parts" / "learned.safetensors"
        wait_until(checkpoint.exists, process)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert not killed.exists()
    assert checkpoint.exists()
    assert run(["train", "--out", str(killed), *SMALL]) == 0
    one, other = load_file(straight), load_file(killed)
    assert one.keys() == other.keys()
    assert all(torch.equal(value, other[name]) for name, value in one.items())
    left = sorted(path.name for path in tmp_path.iterdir())
    assert left == [f"{name}.{end}" for name in ("killed", "straight") for end in ("md", "safetensors", "svg")]
    card = straight.with_suffix(".md").read_text(encoding="utf-8")
    assert "seed 0" in card
    assert "| K = 2 |" in card
    assert straight.with_suffix(".svg").read_text(encoding="utf-8").startswith("<svg")


def test_train_refuses_what_it_cannot_write(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["train", "--out", str(tmp_path / "weights.pt"), *SMALL]) == 2
    assert ".safetensors" in capsys.readouterr().err
    assert run(["train", "--out", str(tmp_path / "nowhere" / "w.safetensors"), *SMALL]) == 2
    assert "does not exist" in capsys.readouterr().err
    (tmp_path / "folder.safetensors").mkdir()
    assert run(["train", "--out", str(tmp_path / "folder.safetensors"), *SMALL]) == 2
    assert "a folder, not a file" in capsys.readouterr().err


@pytest.mark.slow
def test_ctrl_c_says_how_to_go_on(tmp_path: Path) -> None:
    out = tmp_path / "w.safetensors"
    flags = ("--scenarios", "5000", "--jobs", "1")
    with running(*PROGRAM, "train", "--out", str(out), *flags) as process:
        wait_until(lambda: any(tmp_path.glob("w.safetensors.parts/*.npz")), process)
        _, said = interrupted(process)
    assert "the same command goes on" in said
    assert not out.exists()


def test_weights_come_back(tmp_path: Path) -> None:
    torch.manual_seed(1)
    network = AnchorNetwork()
    write_weights(tmp_path / "w.safetensors", "learned", network, {})
    again = load_network("learned", AnchorNetwork, str(tmp_path / "w.safetensors"))
    assert all(torch.equal(v, again.state_dict()[name]) for name, v in network.state_dict().items())
    assert not again.training


def test_weights_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"

    def refused(match: str, name: str = str(path)) -> None:
        with pytest.raises(PrillmError, match=match):
            load_network("learned", AnchorNetwork, name)

    refused("no such file|No such file", str(tmp_path / "none.safetensors"))
    refused("there is none of that name", "nobody")
    path.write_bytes(b"\x80\x04K\x01.")  # a pickle
    refused("not a safetensors file")
    save_file({"x": torch.zeros(1)}, path)
    refused("format: expected")
    write_weights(path, "learned-paper", AnchorNetwork(), {})
    refused("kind: expected weights of learned")
    # As older versions wrote them: two networks in a file.
    write_weights(path, "learned", nn.ModuleDict({"anchor": AnchorNetwork(), "keep": nn.Linear(2, 1)}), {})
    refused(
        r"w\.safetensors: weights do not fit .* older .*; train it anew, `prillm-or train --kind learned --out w\.s"
    )
    broken = AnchorNetwork()
    with torch.no_grad():
        next(broken.parameters()).fill_(torch.nan)
    write_weights(path, "learned", broken, {})
    refused("not all finite")


def batch_of(examples: Sequence[Example]) -> Batch:
    return {name: torch.from_numpy(value) for name, value in stack(examples).items()}


@pytest.fixture(scope="module")
def anchors() -> list[Example]:
    return [one for seed in range(6) if (one := AnchorLesson().example(seed)) is not None]


def awake(network: nn.Module) -> nn.Module:
    """With heads that say something: untrained ones are silent."""
    torch.manual_seed(0)
    for value in network.parameters():
        if value.dim() > 1:
            nn.init.normal_(value, std=0.2)
    return network.eval()


def test_anchors_do_not_depend_on_order_or_padding(anchors: list[Example]) -> None:
    network = awake(AnchorNetwork())
    together = network(batch_of(anchors)).detach().numpy()
    alone = [float(network(batch_of([one]))[0].detach()) for one in anchors]
    np.testing.assert_allclose(together, alone, rtol=1e-3, atol=1e-5)
    assert np.ptp(together) > 1e-3
    rng = np.random.default_rng(0)
    for one, said in zip(anchors, alone, strict=True):
        users, rivals = rng.permutation(len(one["users"])), rng.permutation(len(one["rivals"]))
        turned = dict(one) | {
            "pairs": one["pairs"][users][:, rivals],
            "users": one["users"][users],
            "share": one["share"][users],
            "rivals": one["rivals"][rivals],
        }
        assert float(network(batch_of([turned]))[0].detach()) == pytest.approx(said, rel=1e-3, abs=1e-5)


def test_anchor_loss_at_the_guess(anchors: list[Example]) -> None:
    """An untrained network anchors at the guess: what is lost is read off the curve there."""
    losses = AnchorLesson().losses(AnchorNetwork(), batch_of(anchors)).detach().numpy()
    for one, loss in zip(anchors, losses, strict=True):
        off = abs(float(one["target"]) - min(0.0, float(one["cap"])))
        huber = off**2 / 2 / 0.05 if off <= 0.05 else off - 0.025
        place = np.linspace(-SPAN, SPAN, POINTS)
        lost = 1 - np.interp(min(0.0, float(one["cap"])), place, one["shares"])
        assert loss == pytest.approx(lost + 0.1 * huber, abs=1e-4)


@pytest.mark.parametrize("seed", range(4))
def test_features_know_no_units_and_no_shift(seed: int) -> None:
    market = scenario(seed)
    guesses, features = market_features(market)
    changed = in_other_units(replace(market, value=market.value + 3.0), money=8.0, volume=0.25)
    other_guesses, others = market_features(changed)
    np.testing.assert_allclose(other_guesses, 8 * np.array(guesses), rtol=1e-9)
    for name in ("pairs", "users", "rivals", "market", "share"):
        np.testing.assert_allclose(getattr(others, name), getattr(features, name), rtol=1e-6, atol=1e-6)
