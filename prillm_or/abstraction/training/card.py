"""Card: what trained weights are, in words a stranger can check: data, seed, date, scores, sizes."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from datetime import date

import torch

from prillm_or import __version__
from prillm_or.abstraction.training.course import Course
from prillm_or.abstraction.training.fit import Epoch, Schedule
from prillm_or.abstraction.training.outcome import Trained
from prillm_or.abstraction.training.scenarios import REAL, Sizes


def card(kind: str, course: Course, trained: Trained, command: str, seconds: float) -> str:
    """Markdown text to lie beside a file of weights."""
    sizes = Sizes()
    parameters = sum(value.numel() for value in trained.network.parameters())
    sets = ", ".join(f"{len(seeds)} from {seeds[0]}" for seeds in course.seeds())
    lines = [
        f"# Weights of `{kind}`",
        "",
        f"Made by `{command}` on {date.today().isoformat()}, prillm-or {__version__}, torch {torch.__version__}, "
        f"Python {platform.python_version()}, {_workers(course)}{', GPU' if torch.cuda.is_available() else ''}; "
        f"{seconds / 60:.0f} minutes since it was last started.",
        "",
        "## Data",
        "",
        f"* Three sets of scenarios, by seed: {sets}. In this order: {trained.roles}. Scenarios without any profit are "
        "left out.",
        f"* A quarter each of the generator's shapes uniform, heavy and market, with {sizes.users[0]} to "
        f"{sizes.users[1]} users and {sizes.rivals[0]} to {sizes.rivals[1]} rivals, and of the perturbed instances "
        f"{', '.join(REAL)}. No other instance, and no seed below 1000000, was seen.",
        "* Exact profit curves by `path`.",
        "",
        "## Network",
        "",
        f"{parameters} parameters, in batches of {course.schedule.batch}.",
        "",
        "| part | learning rate | patience | epochs | best epoch | loss there | held-out loss there |",
        "|---|---|---|---|---|---|---|",
        *(_part(name, history, trained.schedules[name]) for name, history in trained.history.items()),
        "",
        "## Scores on the third set",
        "",
        "Share of the best profit that the choice earns in the full market. The third set also chose the best epoch of "
        "a part that it stopped; the benchmark judges on scenarios that did nothing (`benchmarks/README.md`).",
        "",
        "| what | scenarios | mean % | worst % |",
        "|---|---|---|---|",
        *(f"| {s.what} | {s.count} | {100 * s.mean:.4f} | {100 * s.worst:.2f} |" for s in trained.scores),
        "",
    ]
    return "\n".join(lines)


def _part(name: str, history: Sequence[Epoch], schedule: Schedule) -> str:
    best = min(range(len(history)), key=lambda t: history[t].validation)
    epoch = history[best]
    return (
        f"| {name} | {schedule.rate:g} | {schedule.patience} | {len(history)} | {best + 1} | {epoch.training:.3g} | "
        f"{epoch.validation:.3g} |"
    )


def _workers(course: Course) -> str:
    return "a Dask cluster" if course.engine.address else f"{course.engine.jobs} processes"
