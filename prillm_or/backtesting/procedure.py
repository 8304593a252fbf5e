"""backtest: price events of observed markets, predicted from the days before each, and scored."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from prillm_or.errors import ArgumentError, argument, check_count, check_number, need_packages
from prillm_or.workers.ctrl_c import without_ctrl_c

if TYPE_CHECKING:
    from prillm_or.backtesting.events import Event
    from prillm_or.backtesting.result import Backtest
    from prillm_or.calibration.observations import Observations

    Given = Observations | str | os.PathLike[str]

_LEAST_HALF_LIFE = 0.01


def backtest(
    folders: Given | Sequence[Given],
    *,
    least: float = 0.05,
    elasticity: float | str | None = None,
    shrinkage: float | str | None = None,
    capacity_of_load: bool = False,
    half_life: float | None = None,
    jobs: int = 1,
    seed: int = 0,
) -> Backtest:
    """Find prices that changed, predict each change of share from the days before it, and score that.

    The response to price is part of the fit (`calibrate`). Of several markets, each is given the elasticity that the
    events of the others imply, with its standard error, as one more observation.

    Parameters
    ----------
    folders
        Who routed what, at which prices: observations or their folder, or several. Those of one name are one market.
    least
        The smallest change of a price, as a part of the lower one, that is an event.
    elasticity
        Own-price elasticity known from elsewhere, for all markets: -1.1, or with its standard error "-1.1:0.3".
    shrinkage, capacity_of_load, half_life, seed
        As in `calibrate`; a shrinkage that is to be chosen is chosen at the first event of a market.
    jobs
        Markets at a time.

    Raises
    ------
    ArgumentError
        When an argument is not what it has to be.
    ObservationsError
        When observations break a rule.
    UnavailableError
        When a package is missing.
    ConvergenceError
        When a process dies on a market each time.
    """
    need_packages("backtest", "torch", "threadpoolctl", extra="calibrate")
    check_number("least", least, 0.0)
    if half_life is not None:
        check_number("half_life", half_life, _LEAST_HALF_LIFE)
    check_count("jobs", jobs, 1)
    check_count("seed", seed, 0)
    with without_ctrl_c():  # torch
        from prillm_or.calibration.judged_fit import Options
    from prillm_or.backtesting.events import events_of
    from prillm_or.backtesting.predictions import Prediction, Work, predictions
    from prillm_or.backtesting.result import Backtest
    from prillm_or.calibration.procedure import known_elasticity, known_shrinkage
    from prillm_or.errors import ConvergenceError
    from prillm_or.workers.engine import Engine, Lost, spread

    known = None if elasticity is None else known_elasticity(elasticity)
    options = Options(
        shrinkage=known_shrinkage(shrinkage),
        capacity_of_load=capacity_of_load,
        half_life=half_life,
        baselines=(),
        seed=seed,
    )
    observed = _observed(folders)
    events = [events_of(one, least) for one in observed]
    everything = [event for own in events for event in own]
    works = []
    for one, own in zip(observed, events, strict=True):
        if own:
            given = known or _of_others(everything, one.name)
            works.append(Work(one, own, replace(options, elasticity=given), None if given is None else given[0]))
    found: dict[int, list[Prediction]] = {}
    for number, done in spread(Engine(jobs), predictions, works):
        if isinstance(done, Lost):
            raise ConvergenceError(f"{works[number].observations.name}: {done.message}")
        found[number] = done
    return Backtest(
        markets=tuple(one.name for one in observed),
        least=least,
        predictions=[prediction for number in sorted(found) for prediction in found[number]],
    )


def _observed(folders: Given | Sequence[Given]) -> list[Observations]:
    from prillm_or.calibration.observation_files import read_observations
    from prillm_or.calibration.observations import Observations, without_residues

    given = [folders] if isinstance(folders, (Observations, str, os.PathLike)) else list(folders)
    found = []
    for one in given:
        if isinstance(one, (str, os.PathLike)):
            one = read_observations(one)
        if not isinstance(one, Observations):
            said = f"{argument('folders')}: expected Observations or paths of folders, got {type(one).__name__}"
            raise ArgumentError(said)
        found.append(without_residues(one))
    if not found:
        raise ArgumentError(f"{argument('folders')}: expected at least one")
    return found


def _of_others(events: Sequence[Event], market: str) -> tuple[float, float] | None:
    """Elasticity that the events of the other markets imply, and its standard error; None where they tell none."""
    from prillm_or.backtesting.implied import implied_elasticity

    others = [event for event in events if event.market != market]
    found = implied_elasticity(others, apart=len({event.market for event in others}) == 1)
    if found is None or found.error is None or not found.error > 0 or not found.estimate < 0:
        return None
    return found.estimate, found.error
