"""A few ratios of times, against those kept in `ratios.json`: that nothing has become twice as slow as its neighbours.

`python -m benchmarks smoke` ends with 1 where a ratio is more than twice its reference, in both of two measurements;
`python -m benchmarks --references` writes the references anew, for when a change is meant, those of the kernel or of
numpy, as it is in use or not. Only what every
installation has takes part. Processor time of actions that take turns; medians.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path as File
from statistics import median
from typing import Any

from benchmarks.clock import medians
from benchmarks.environment import environment
from benchmarks.peers import HighsQp, Programme
from benchmarks.report import Table, Target, target_table
from prillm_or.limits import Limits
from prillm_or.market.changes import Change
from prillm_or.market.market import Array, Market
from prillm_or.market.synthetic import generate
from prillm_or.solvers.bisect import Bisect
from prillm_or.solvers.path import Path
from prillm_or.solving.pricer import Pricer
from prillm_or.solving.run import solve
from prillm_or.users import kernel
from prillm_or.users.certificate import certify
from prillm_or.users.equilibrium import solve_users
from prillm_or.users.problem import UserProblem, user_problem

REFERENCES = File(__file__).parent / "ratios.json"
WORSE = 2.0

_ROUNDS = 25
_REFERENCE_RUNS = 5
_RISE = 0.05

RATIOS = {
    "equilibrium / HiGHS QP": ("equilibrium", "HiGHS QP"),
    "re-solve / equilibrium": ("re-solve", "equilibrium"),
    "certify / equilibrium": ("certify", "equilibrium"),
    "path / equilibrium": ("path", "equilibrium"),
    "bisect / path": ("bisect", "path"),
    "update / cold solve": ("update", "cold solve"),
    "solve / kkt-bigm on HiGHS, 8x6": ("solve 8x6", "kkt-bigm 8x6"),
}
"""Names of the ratios, and the actions that are divided; less is better."""


@dataclass(frozen=True)
class Row:
    """A ratio, its reference, and the first over the second."""

    ratio: str
    measured: float
    reference: float | None
    over_reference: float | None


def measure(quick: bool) -> Iterator[Table]:
    """Ratios beside their references, then the targets; measured again where one is missed."""
    references = kept()[computing()]["ratios"]
    measured = measure_ratios()
    if regressed(measured, references):
        again = measure_ratios()
        measured = {name: min(ratio, again[name]) for name, ratio in measured.items()}
    rows = [Row(name, ratio, *_beside(ratio, references.get(name))) for name, ratio in measured.items()]
    yield Table("smoke", rows, "20x20 where not said otherwise")
    missed = len(regressed(measured, references))
    yield target_table([Target(f"ratios more than {WORSE:g} times the reference", missed, 0, at_least=False)])


def computing() -> str:
    """What computes small markets here: times of numpy are others than those of the kernel."""
    return "kernel" if kernel.in_use() else "numpy"


def kept() -> dict[str, Any]:
    """The references by what computes small markets, each with its environment."""
    found: dict[str, Any] = json.loads(REFERENCES.read_text(encoding="utf-8"))
    return found


def _beside(ratio: float, reference: float | None) -> tuple[float | None, float | None]:
    return reference, None if reference is None else ratio / reference


def regressed(measured: Mapping[str, float], references: Mapping[str, float], worse: float = WORSE) -> list[str]:
    """Names of the ratios that are more than `worse` times their reference, or have none."""
    return [name for name, ratio in measured.items() if not ratio <= worse * references.get(name, 0.0)]


def write_references() -> None:
    """Measure the ratios several times and keep the medians as references of what computes here."""
    runs = [measure_ratios() for _ in range(_REFERENCE_RUNS)]
    ratios = {name: float(f"{median(run[name] for run in runs):.3g}") for name in RATIOS}
    text = json.dumps(kept() | {computing(): {"environment": environment(), "ratios": ratios}}, indent=1)
    REFERENCES.write_text(text + "\n", encoding="utf-8")


def measure_ratios() -> dict[str, float]:
    """The ratios here and now."""
    seconds = medians(_actions(generate(20, 20, "uniform", 1)), rounds=_ROUNDS)
    seconds |= medians(_against_highs(generate(8, 6, "uniform", 1)), rounds=_ROUNDS)
    for name in ("re-solve", "update"):
        seconds[name] /= 2  # to and fro
    return {name: seconds[one] / seconds[other] for name, (one, other) in RATIOS.items()}


def _actions(market: Market) -> dict[str, Callable[[], object]]:
    users, today, limits = user_problem(market), market.price[list(market.leader)], Limits()
    flow = solve_users(users, today).flow
    programme = Programme(users)
    peer, cost = HighsQp(programme), programme.cost(users.offsets(today))

    def highs() -> None:
        peer.set_up(cost, HighsQp.tolerances[0])
        peer.solve()

    return {
        "equilibrium": lambda: solve_users(users, today),
        "HiGHS QP": highs,
        "re-solve": _flips(users, today),
        "certify": lambda: certify(market, today, flow),
        "path": lambda: Path().solve(market, limits),
        "bisect": lambda: Bisect().solve(market, limits),
        "update": _updates(market),
        "cold solve": lambda: solve(market, solver="path"),
    }


def _flips(users: UserProblem, today: Array) -> Callable[[], object]:
    """Two re-solves, to a price a little higher and back."""
    last = solve_users(users, today)

    def run() -> None:
        nonlocal last
        for price in (today + _RISE, today):
            last = solve_users(users, price, last)

    return run


def _updates(market: Market) -> Callable[[], object]:
    """Two updates, to a rival's price 5 % higher and back."""
    pricer, j = Pricer(market), int(market.rivals[0])
    price = float(market.price[j])
    changes: list[Change] = [{"providers": {market.provider_ids[j]: {"price": p}}} for p in (1.05 * price, price)]

    def run() -> None:
        for change in changes:
            pricer.update(change)

    return run


def _against_highs(market: Market) -> dict[str, Callable[[], object]]:
    return {
        "solve 8x6": lambda: solve(market, solver="path"),
        "kkt-bigm 8x6": lambda: solve(market, solver="highs", model="kkt-bigm"),
    }
