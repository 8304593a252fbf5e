"""Learn: one training run, from examples over the fit to scores.

Three sets of scenarios, no seed in two of them: the network learns from the first; the second says when it has learned
enough; the third is what the scores on the card come from.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import nn

from prillm_or.abstraction.small_market import Abstraction
from prillm_or.abstraction.training.course import Course
from prillm_or.abstraction.training.curves import exact_curve, share_of
from prillm_or.abstraction.training.examples import Example, computed
from prillm_or.abstraction.training.fit import Schedule, Task, fit
from prillm_or.abstraction.training.outcome import Score, Trained
from prillm_or.abstraction.training.scenarios import scenario
from prillm_or.market.market import Market

KEEP = (1, 2)
"""Rivals of the small markets, K, that scores are taken for."""


class Lesson(Task, Protocol):
    """What the network of an abstraction learns, from which examples, and how it is used."""

    def example(self, seed: int) -> Example | None:
        """Example of the scenario of a seed; None where no price earns anything."""

    def schedule(self, asked: Schedule) -> Schedule:
        """How long and how fast to learn, of what is asked."""

    def abstract(self, network: nn.Module, market: Market, keep: int) -> Abstraction:
        """Leave `keep` rivals, by this network."""


def learn(kind: str, lesson: Lesson, course: Course, folder: Path) -> Trained:
    """Train the network; `folder` keeps examples and the checkpoint, from which a run that was killed goes on."""
    torch.set_num_threads(course.threads)
    learning, stopping, judging = course.seeds()
    examples, held_out = (
        computed(lesson.example, seeds, folder, f"{kind}-{purpose}", course.engine)
        for purpose, seeds in (("learn", learning), ("stop", stopping))
    )
    schedule = lesson.schedule(course.schedule)
    fitted = fit(lesson, examples, held_out, schedule, folder, kind)
    network = lesson.network()
    network.load_state_dict(fitted.weights)
    network.eval()
    markets = [(market, curve) for market in map(scenario, judging) if (curve := exact_curve(market)) is not None]
    scores = []
    for keep in KEEP:
        shares = [share_of(lesson.abstract(network, market, keep).market, curve) for market, curve in markets]
        scores.append(Score(f"K = {keep}", len(shares), float(np.mean(shares)), float(np.min(shares))))
    return Trained(network, fitted.history, schedule, scores)
