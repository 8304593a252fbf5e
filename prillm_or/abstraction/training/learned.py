"""Training of `learned`: first where to anchor, then, at the anchors it would choose, whom to keep.

Three sets of scenarios, no seed in two of them: the anchor network learns from the first; the second says when it has
learned enough, and teaches the keep network, whose anchors are then as good or bad as they will be in use; the third
says when that one has learned enough, and is what the scores on the card come from.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from prillm_or.abstraction.learned import abstract_with
from prillm_or.abstraction.networks import SPAN, LearnedNetworks
from prillm_or.abstraction.training import anchor, keep
from prillm_or.abstraction.training.course import Course
from prillm_or.abstraction.training.curves import exact_curve, share_of
from prillm_or.abstraction.training.examples import Example, computed, stack
from prillm_or.abstraction.training.fit import fit
from prillm_or.abstraction.training.outcome import Score, Trained, score
from prillm_or.abstraction.training.scenarios import scenario
from prillm_or.market.market import Array


def train(course: Course, folder: Path) -> Trained:
    """Train both networks; `folder` keeps examples and checkpoints, from which a run that was killed goes on."""
    torch.set_num_threads(course.threads)
    networks = LearnedNetworks()
    learning, teaching, judging = (
        computed(anchor.example, seeds, folder, f"anchor-{purpose}", course.engine)
        for purpose, seeds in zip(("learn", "teach", "judge"), course.seeds(), strict=True)
    )
    anchor_fit = fit(anchor.AnchorTask(), learning, teaching, course.schedule, folder, "anchor")
    networks.anchor.load_state_dict(anchor_fit.weights)
    choices, judged = (
        computed(keep.example, _anchored(networks, examples), folder, f"keep-{purpose}", course.engine)
        for purpose, examples in (("teach", teaching), ("judge", judging))
    )
    # The second network has fewer examples to learn from, and less to learn.
    second = replace(course.schedule, rate=course.schedule.rate / 2)
    keep_fit = fit(keep.KeepTask(), choices, judged, second, folder, "keep")
    networks.keep.load_state_dict(keep_fit.weights)
    return Trained(
        networks.eval(),
        {"anchor": anchor_fit.history, "keep": keep_fit.history},
        {"anchor": course.schedule, "keep": second},
        _scores(networks, judging),
        "the anchor network learns; it is stopped, and the keep network learns; that is stopped, and scores are taken",
    )


def _shifts(networks: LearnedNetworks, examples: Sequence[Example]) -> Array:
    """Logarithms of anchor / guess, shape (len(examples),)."""
    with torch.no_grad():
        batches = (stack(examples[t : t + 64]) for t in range(0, len(examples), 64))
        parts = [networks.anchor({key: torch.from_numpy(value) for key, value in b.items()}) for b in batches]
    caps = [float(example["cap"]) for example in examples]
    return np.asarray(np.minimum(torch.cat(parts).double().numpy(), caps))


def _anchored(networks: LearnedNetworks, examples: Sequence[Example]) -> list[tuple[int, float]]:
    networks.anchor.cpu().eval()
    anchors = np.exp(_shifts(networks, examples)) * [float(example["guess"]) for example in examples]
    return [(int(example["seed"]), float(price)) for example, price in zip(examples, anchors, strict=True)]


def _scores(networks: LearnedNetworks, judging: Sequence[Example]) -> list[Score]:
    """Profit shares on the third set: of the anchors themselves, and of `learned` with these networks."""
    networks.cpu().eval()
    place = np.linspace(-SPAN, SPAN, anchor.POINTS)
    anchors = [
        float(np.interp(shift, place, example["shares"]))
        for shift, example in zip(_shifts(networks, judging), judging, strict=True)
    ]
    markets = [scenario(int(example["seed"])) for example in judging]
    curves = [(market, curve) for market in markets if (curve := exact_curve(market)) is not None]
    return [
        score("anchor alone", anchors),
        *(
            score(f"K = {k}", [share_of(abstract_with(networks, market, k).market, curve) for market, curve in curves])
            for k in (1, 2)
        ),
    ]
