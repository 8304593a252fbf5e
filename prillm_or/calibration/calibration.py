"""Calibration: preferences with everything that says how far to trust them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from prillm_or.calibration.bootstrap import Intervals
from prillm_or.calibration.fit import Fit
from prillm_or.calibration.identifiability import Identifiability
from prillm_or.calibration.observations import Observations
from prillm_or.calibration.scores import Scores
from prillm_or.calibration.shrinkage import ShrinkageChoice
from prillm_or.market.market import Array, Mask

OURS = "calibrated"
"""Our name among the methods of a score table."""


@dataclass(frozen=True)
class MethodScores:
    """One method in a score table.

    Parameters
    ----------
    in_sample
        Over the cells seen.
    held_out
        Over the cells held out, None where there are none.
    held_out_rest
        The same once each user's predictions of a day are scaled to what its demand leaves for the cells held out,
        which whoever knows the demand can do; None where there are none or whole rows are held out, so that nothing
        is left to scale by.
    time_s
        Processor seconds.
    note
        Why there are no scores, where there are none.
    """

    in_sample: Scores | None
    held_out: Scores | None
    held_out_rest: Scores | None
    time_s: float
    note: str = ""


@dataclass(frozen=True, eq=False, kw_only=True)
class Calibration:
    """What `calibrate` found.

    Parameters
    ----------
    observations
        What was observed, held-out cells included.
    fit
        On the cells seen.
    choice
        How the shrinkage was chosen; None where it was given.
    held_out
        Shape (T, n, m): the cells held out; none of them where nothing is.
    holdout
        What was held out, in the words of the command line, or "".
    flow
        Shape (T, n, m): predicted flows, volume units.
    scores
        By method: `OURS` first, then the baselines.
    intervals
        None where no draws were asked for.
    elasticity
        Shape (m,): own-price elasticities; NaN without revenue.
    findings
        What a reader has to know, in plain words.
    interrupted
        Whether Ctrl-C came after the fit: baselines or draws are then missing.
    """

    observations: Observations
    fit: Fit
    choice: ShrinkageChoice | None
    held_out: Mask
    holdout: str
    flow: Array
    scores: Mapping[str, MethodScores]
    intervals: Intervals | None
    identifiability: Identifiability
    elasticity: Array
    findings: tuple[str, ...]
    interrupted: bool = False
