"""Card: what trained weights are, in words a stranger can check: data, seed, date, scores, sizes."""

from __future__ import annotations

import platform
from datetime import date

import torch

from prillm_or import __version__
from prillm_or.abstraction.training.course import Course
from prillm_or.abstraction.training.outcome import Trained
from prillm_or.abstraction.training.scenarios import REAL, Sizes


def card(kind: str, course: Course, trained: Trained, command: str, seconds: float) -> str:
    """Markdown text to lie beside a file of weights."""
    sizes = Sizes()
    parameters = sum(value.numel() for value in trained.network.parameters())
    schedule = trained.schedule
    best = min(range(len(trained.history)), key=lambda t: trained.history[t].validation)
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
        f"* Three sets of scenarios, by seed: {sets}. In this order: the network learns; it is stopped; scores are "
        "taken. Scenarios without any profit are left out.",
        f"* A quarter each of the generator's shapes uniform, heavy and market, with {sizes.users[0]} to "
        f"{sizes.users[1]} users and {sizes.rivals[0]} to {sizes.rivals[1]} rivals, and of the perturbed instances "
        f"{', '.join(REAL)}. No other instance, and no seed below 1000000, was seen.",
        "* Exact profit curves by `path`.",
        "",
        "## Network",
        "",
        f"{parameters} parameters, in batches of {course.schedule.batch}.",
        "",
        "| learning rate | patience | epochs | best epoch | loss there | held-out loss there |",
        "|---|---|---|---|---|---|",
        f"| {schedule.rate:g} | {schedule.patience} | {len(trained.history)} | {best + 1} | "
        f"{trained.history[best].training:.3g} | {trained.history[best].validation:.3g} |",
        "",
        "## Scores on the third set",
        "",
        "Share of the best profit that the small market's price earns in the full one. The benchmark judges on other "
        "markets (`benchmarks/README.md`).",
        "",
        "| what | scenarios | mean % | worst % |",
        "|---|---|---|---|",
        *(f"| {s.what} | {s.count} | {100 * s.mean:.4f} | {100 * s.worst:.2f} |" for s in trained.scores),
        "",
    ]
    return "\n".join(lines)


def _workers(course: Course) -> str:
    return "a Dask cluster" if course.engine.address else f"{course.engine.jobs} processes"
