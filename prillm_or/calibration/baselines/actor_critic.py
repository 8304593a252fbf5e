"""Actor-critic: our common preferences, searched for by reinforcement learning, as in the paper.

An episode is one step: the actor, which always sees the same, chooses theta in a box around the middle one of the
points that a fit starts from; its reward is minus the misfit there. Learning is the advantage actor-critic (A2C) of
stable-baselines3 with its settings, but for the spread of the first actions. The best theta met counts, the one the
actor would choose in the end among them.

Reference: Mnih et al., "Asynchronous methods for deep reinforcement learning", ICML 2016, arXiv 1602.01783.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import gymnasium
import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3 import A2C
from stable_baselines3.common.logger import Logger

from prillm_or.calibration.baselines.given import Given
from prillm_or.calibration.fit import starting_points
from prillm_or.calibration.misfit import Misfit
from prillm_or.calibration.parameters import Parameters, parameters_of
from prillm_or.calibration.preferences import predicted_flows
from prillm_or.calibration.specification import Specification
from prillm_or.market.market import Array

STEPS = 3_000
"""Thetas tried."""
_REACH = 1.0
_LOG_SPREAD = -3.0  # with the package's own, 0, no theta in a box of many dimensions comes near its centre
_WORST = 2.0

_Seen = NDArray[np.float32]


def actor_critic(given: Given) -> Array:
    """Flows at the best preferences met."""
    days = given.days
    parameters = parameters_of(Specification(), days, given.user_ids, given.provider_ids, "a2c")
    points = starting_points(days, parameters)
    search = _Search(Misfit(parameters, days, given.weight), parameters, points[len(points) // 2])
    with _randomness_kept():
        settings = {"log_std_init": _LOG_SPREAD}
        actor = A2C("MlpPolicy", search, seed=given.seed, device="cpu", policy_kwargs=settings)
        actor.set_logger(Logger(folder=None, output_formats=[]))  # the default leaves a folder behind
        actor.learn(STEPS)
    action, _ = actor.predict(search.reset()[0], deterministic=True)
    search.step(action)
    return predicted_flows(parameters.unpack(search.best), days)


class _Search(gymnasium.Env[_Seen, _Seen]):  # type: ignore[misc]
    """The environment of the module docstring.

    `best` is the theta of the least misfit so far.
    """

    def __init__(self, misfit: Misfit, parameters: Parameters, centre: Array) -> None:
        self.observation_space = gymnasium.spaces.Box(0.0, 1.0, (1,), np.float32)
        self.action_space = gymnasium.spaces.Box(-1.0, 1.0, (parameters.size,), np.float32)
        self.best = centre
        self._misfit, self._centre, self._bounds = misfit, centre, parameters.bounds()
        self._least = np.inf

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[_Seen, dict[str, Any]]:
        """Start an episode: there is one state only."""
        super().reset(seed=seed)
        return np.ones(1, dtype=np.float32), {}

    def step(self, action: _Seen) -> tuple[_Seen, float, bool, bool, dict[str, Any]]:
        """Try the theta of an action, and end the episode."""
        theta = np.clip(self._centre + _REACH * action.astype(np.float64), *self._bounds)
        residuals = self._misfit.residuals(theta)
        misfit = float(residuals @ residuals)
        if misfit < self._least:
            self.best, self._least = theta, misfit
        # Far off, the misfit may be any number, and one such reward would undo what the critic has learnt.
        return np.ones(1, dtype=np.float32), -min(misfit, _WORST), True, False, {}


@contextmanager
def _randomness_kept() -> Iterator[None]:
    """Leave the common generators as they were: A2C seeds all of them."""
    plain, arrays = random.getstate(), np.random.get_state()  # noqa: NPY002
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        random.setstate(plain)
        np.random.set_state(arrays)  # noqa: NPY002
