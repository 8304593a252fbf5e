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
        computed(anchor.example, seeds, folder, f"anchor-{which}", course.engine)
        for which, seeds in zip(("learn", "teach", "judge"), course.seeds(), strict=True)
    )
    where = fit(anchor.AnchorTask(), learning, teaching, course.schedule, folder, "anchor")
    networks.anchor.load_state_dict(where.weights)
    choices, judged = (
        computed(keep.example, _anchored(networks, found), folder, f"keep-{which}", course.engine)
        for which, found in (("teach", teaching), ("judge", judging))
    )
    # The second network has fewer examples to learn from, and less to learn.
    second = replace(course.schedule, rate=course.schedule.rate / 2)
    whom = fit(keep.KeepTask(), choices, judged, second, folder, "keep")
    networks.keep.load_state_dict(whom.weights)
    return Trained(
        networks.eval(),
        {"anchor": where.history, "keep": whom.history},
        {"anchor": course.schedule, "keep": second},
        _scores(networks, judging),
        "the anchor network learns; it is stopped, and the keep network learns; that is stopped, and scores are taken",
    )


def _shifts(networks: LearnedNetworks, found: Sequence[Example]) -> Array:
    """Logarithms of anchor / guess, shape (len(found),)."""
    with torch.no_grad():
        batches = (stack(found[t : t + 64]) for t in range(0, len(found), 64))
        parts = [networks.anchor({key: torch.from_numpy(value) for key, value in b.items()}) for b in batches]
    caps = [float(one["cap"]) for one in found]
    return np.asarray(np.minimum(torch.cat(parts).double().numpy(), caps))


def _anchored(networks: LearnedNetworks, found: Sequence[Example]) -> list[tuple[int, float]]:
    networks.anchor.cpu().eval()
    anchors = np.exp(_shifts(networks, found)) * [float(one["guess"]) for one in found]
    return [(int(one["seed"]), float(price)) for one, price in zip(found, anchors, strict=True)]


def _scores(networks: LearnedNetworks, judging: Sequence[Example]) -> list[Score]:
    """Profit shares on the third set: of the anchors themselves, and of `learned` with these networks."""
    networks.cpu().eval()
    place = np.linspace(-SPAN, SPAN, anchor.POINTS)
    anchors = [
        float(np.interp(shift, place, one["shares"]))
        for shift, one in zip(_shifts(networks, judging), judging, strict=True)
    ]
    markets = [scenario(int(one["seed"])) for one in judging]
    found = [(market, curve) for market in markets if (curve := exact_curve(market)) is not None]
    return [
        score("anchor alone", anchors),
        *(
            score(f"K = {k}", [share_of(abstract_with(networks, market, k).market, curve) for market, curve in found])
            for k in (1, 2)
        ),
    ]
