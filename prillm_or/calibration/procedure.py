"""calibrate: what users want, from what they did, and how far to trust it."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from math import isfinite
from typing import TYPE_CHECKING

from prillm_or.errors import ArgumentError, argument, check_count, check_number, checked_list, need_packages
from prillm_or.workers.ctrl_c import without_ctrl_c

if TYPE_CHECKING:
    from prillm_or.calibration.calibration import Calibration
    from prillm_or.calibration.judged_fit import Options
    from prillm_or.calibration.observations import Observations

_OWN = ("congestion", "price", "values")
_NOBODY = "none"
_LEAST_HALF_LIFE = 0.01


def calibrate(
    observations: Observations | str | os.PathLike[str],
    *,
    own: Sequence[str] | None = None,
    groups: Mapping[str, Sequence[str]] | None = None,
    dispersion: str | None = None,
    congestion: bool = True,
    shrinkage: float | str | None = None,
    capacity_of_load: bool = False,
    loss: str = "shares",
    half_life: float | None = None,
    robust: bool = False,
    elasticity: float | str | None = None,
    pool: Sequence[Observations | str | os.PathLike[str]] = (),
    holdout: str | None = None,
    baselines: Sequence[str] | None = None,
    draws: int = 200,
    seed: int = 0,
    warm: str | os.PathLike[str] | None = None,
    backtest: str | os.PathLike[str] | None = None,
) -> Calibration:
    """Fit weights and values so that the users' equilibria come close to observed flows, and say how far to trust them.

    Parameters
    ----------
    observations
        Who routed what, at which prices: themselves, or their folder.
    own
        What each user has of its own, shrunk towards the common one: weights of `congestion` or `price`, or `values`,
        which are shrunk towards those of the provider's family where observations name families. `none`, or nothing in
        the list, for what all share. None, and nothing said of `groups`, `dispersion` and `congestion`: as in the fit
        of `warm`, or chosen with the shrinkage.
    groups
        Users with values of their own, by the name of the group.
    dispersion
        Fit how much dearer a provider becomes to a user from its first to its last unit of demand: `common`, or with
        factors of each `user`, or of each `provider`, shrunk towards the common one; None for no dispersion.
    congestion
        Whether congestion counts; only dispersion may take its place.
    shrinkage
        Pull towards demand x market share, >= 0; None or `auto` for cross-validation.
    capacity_of_load
        Whether capacities are multiples of observed loads: then what is held out is hidden in them, too.
    loss
        Of what the squares are that a fit makes least: `shares`, weighted by demand, or raw `flows`, of which the
        largest rule.
    half_life
        Days after which a day counts half; None counts all alike.
    robust
        Whether days unlike the others count less.
    elasticity
        Own-price elasticity of the leader's providers weighted by revenue, of all where there is no leader, known from
        elsewhere: -1.1, or with its standard error "-1.1:0.3"; without one, 30 % of it. One more observation of the
        fit.
    pool
        Other markets, as observations, their folders or folders of these, that share one response to price: it is taken
        for the elasticity, with an error as large as they differ; the market's own prices count where they move.
    holdout
        Judge by what is not fitted: `days:7`, `users:ID,ID` or `cells:0.2`.
    baselines
        What to compare with; None for the cheap ones.
    draws
        Bootstrap draws for intervals; 0 for none.
    seed
        Of draws, folds and baselines.
    warm
        An earlier fit.json to start from; its shrinkage is kept unless another is asked for.
    backtest
        The JSON of a `backtest`, whose verdict is to stand in the report.

    Raises
    ------
    ArgumentError
        When an argument is not what it has to be.
    ObservationsError
        When observations break a rule, or an argument does not go with them.
    UnavailableError
        When a package is missing.
    KeyboardInterrupt
        When it comes before any preferences were tried; later, what is left is skipped.
    """
    need_packages("calibrate", "torch", "threadpoolctl", extra="calibrate")
    from threadpoolctl import threadpool_limits

    with without_ctrl_c():  # torch
        from prillm_or.calibration.judged_fit import fit_and_judge
    from prillm_or.calibration.backtest_files import read_verdict
    from prillm_or.calibration.fit_files import read_earlier
    from prillm_or.calibration.holdout import held_out
    from prillm_or.calibration.observation_files import read_observations, read_pool
    from prillm_or.calibration.observations import Observations, without_residues

    earlier = None if warm is None else read_earlier(warm)
    tested = "" if backtest is None else read_verdict(backtest)
    options = _options(
        own,
        groups,
        dispersion,
        congestion,
        shrinkage,
        capacity_of_load,
        loss,
        half_life,
        robust,
        elasticity,
        baselines,
        draws,
        seed,
    )
    if isinstance(observations, (str, os.PathLike)):
        observations = read_observations(observations)
    if not isinstance(observations, Observations):
        given = type(observations).__name__
        raise ArgumentError(f"{argument('observations')}: expected Observations or the path of a folder, got {given}")
    observations = without_residues(observations)
    if pool:
        if elasticity is not None:
            said = argument("elasticity", elasticity)
            raise ArgumentError(f"{argument('pool')}: says the elasticity, as does {said}; leave one of the two out")
        folders = [one for one in pool if not isinstance(one, Observations)]
        others = [one for one in pool if isinstance(one, Observations)] + read_pool(folders)
        options = replace(options, pool=tuple(map(without_residues, others)))
    held = held_out(observations, holdout, seed)
    # The matrices of a market are small: threads would wait for each other, tenfold where cores are busy.
    with threadpool_limits(1):
        found = fit_and_judge(observations, options, held_out=held, holdout=holdout or "", earlier=earlier)
    return replace(found, tested=tested)


def _options(
    own: Sequence[str] | None,
    groups: Mapping[str, Sequence[str]] | None,
    dispersion: str | None,
    congestion: bool,
    shrinkage: float | str | None,
    capacity_of_load: bool,
    loss: str,
    half_life: float | None,
    robust: bool,
    elasticity: float | str | None,
    baselines: Sequence[str] | None,
    draws: int,
    seed: int,
) -> Options:
    from prillm_or.calibration.baselines import BASELINES, require
    from prillm_or.calibration.judged_fit import Options
    from prillm_or.calibration.specification import DISPERSIONS, Specification
    from prillm_or.calibration.weighting import LOSSES

    names = [name for name, entry in BASELINES.items() if entry.cheap] if baselines is None else baselines
    unsaid = own is None and not groups and dispersion is None and congestion
    own = [] if own is None else own
    _check_known("own", own, (*_OWN, _NOBODY))
    if _NOBODY in own and len(own) > 1:
        raise ArgumentError(f"{argument('own', ', '.join(own))}: {_NOBODY} goes with no other")
    _check_known("baselines", names, BASELINES)
    for name in names:
        require(name)
    _check_known("loss", [loss], LOSSES)
    if half_life is not None:
        check_number("half_life", half_life, _LEAST_HALF_LIFE)
    check_count("draws", draws, 0)
    check_count("seed", seed, 0)
    if dispersion is not None:
        _check_known("dispersion", [dispersion], DISPERSIONS)
    if not congestion and dispersion is None:
        said = argument("congestion", False, flag="--no-congestion")
        raise ArgumentError(f"{said}: only dispersion may take its place; add {argument('dispersion', 'common')}")
    if not congestion and "congestion" in own:
        raise ArgumentError(f"{argument('own', 'congestion')}: congestion does not count; leave one of the two out")
    specification = Specification(
        own_congestion="congestion" in own,
        own_price="price" in own,
        own_values="values" in own,
        groups=_groups(groups),
        congestion=congestion,
        dispersion=next((kind for kind in DISPERSIONS if kind == dispersion), None),
    )
    return Options(
        specification=None if unsaid else specification,
        shrinkage=known_shrinkage(shrinkage),
        capacity_of_load=capacity_of_load,
        loss=next(kind for kind in LOSSES if kind == loss),
        half_life=half_life,
        robust=robust,
        baselines=tuple(dict.fromkeys(names)),
        draws=draws,
        profile=True,
        seed=seed,
        elasticity=None if elasticity is None else known_elasticity(elasticity),
    )


def _check_known(name: str, given: Sequence[str], known: Collection[str]) -> None:
    if strangers := [one for one in checked_list(name, given, "names") if one not in known]:
        said = argument(name, ", ".join(map(str, strangers)))
        raise ArgumentError(f"{said}: not known; there are {', '.join(known)}")


def _groups(groups: Mapping[str, Sequence[str]] | None) -> dict[str, tuple[str, ...]]:
    groups = {} if groups is None else groups
    if not isinstance(groups, Mapping):
        raise ArgumentError(f"{argument('groups')}: expected names with the users of each, as in {{'big': ['a', 'b']}}")
    return {name: checked_list("groups", users) for name, users in groups.items()}


def known_shrinkage(given: float | str | None) -> float | None:
    """Kappa, or None for `auto`."""
    if given is None or given == "auto":
        return None
    try:
        kappa = float(given)
    except (TypeError, ValueError):
        kappa = -1.0
    if not 0 <= kappa < float("inf"):
        raise ArgumentError(f"{argument('shrinkage', given)}: expected auto or a number >= 0")
    return kappa


def known_elasticity(given: float | str) -> tuple[float, float]:
    """E and SE of -1.1 or "-1.1:0.3"."""
    from prillm_or.calibration.anchor import RELATIVE_ERROR

    text, colon, error = str(given).partition(":")
    try:
        known = float(text)
        spread = float(error) if colon else -RELATIVE_ERROR * known
    except ValueError:
        known = spread = 0.0
    if not (isfinite(known) and isfinite(spread) and known < 0 < spread):
        raise ArgumentError(
            f"{argument('elasticity', given)}: expected E or E:SE, a number < 0, as -1.1 for loads that fall by 1.1 % "
            "where a price rises by 1 %, and its standard error > 0"
        )
    return known, spread
