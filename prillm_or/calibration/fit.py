"""Fit: the preferences whose equilibria come closest to the flows seen.

Least squares (`misfit.py`) by Levenberg and Marquardt's method (`descent.py`), on exact derivatives. The misfit has
local minima, so the search for the common preferences starts from several weights of congestion, a factor of three
apart around the one at which congestion counts as much as prices; at each the values come from the linear programme of
`initial.py`. Dispersion is of the same size as congestion at each start, or in its place where congestion is left out.
What is a user's own is added to the best of these, along a path on which it costs less and less; then the shrinkage
goes down to the one asked for. Each step of a path starts where the last ended, so that users part only as far as the
flows pull them. Starting afresh from the common preferences at each shrinkage finds a lower misfit now and then; in a
trial on real flows it predicted cells held out worse, and so it is left out.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from prillm_or.calibration.anchor import Anchor, response
from prillm_or.calibration.days import Days, mean_price
from prillm_or.calibration.descent import descent
from prillm_or.calibration.initial import initial_values
from prillm_or.calibration.misfit import OWN, Misfit
from prillm_or.calibration.parameters import Parameters, parameters_of
from prillm_or.calibration.preferences import Preferences
from prillm_or.calibration.specification import DISPERSIONS
from prillm_or.market.market import Array, Mask

_log = logging.getLogger(__name__)

STARTS = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
"""Weights of congestion to start from, in units of `Parameters.scale`."""
SHRINKAGES = (1.0, 0.3, 0.1, 0.03, 0.0)
"""The path of kappa (`misfit.py`), from strong to weak."""
_OWN_PATH = (10.0, 1.0, 0.3, 0.1)
NO_RESPONSE = 1e-6
"""Own-price elasticities weaker than this count as this where one is scaled to another."""
_START_DAYS = 8
_ROUGH, _HELD, _MOST = 20, 100, 300
PRECISION, FINE, ENOUGH = 1e-10, 1e-7, 1e-5
"""Of the misfit: what a step has to gain in a search for good, on a profile, and in one of many that are compared."""
_SAME = 0.01
"""Distance of two theta from which searches end at one point."""
_NEXT_TO_NOTHING = 1e-6 * OWN


@dataclass(frozen=True, eq=False)
class Fit:
    """Fitted preferences and how they were found.

    Parameters
    ----------
    preferences, days
        What was found, and what was seen.
    shrinkage
        kappa of `misfit.py`.
    weight
        Shape (T, n), how much each user's day counts.
    misfit
        What was minimised, at its end.
    theta
        The vector that `parameters` unpack.
    anchor
        The elasticity known from elsewhere that the fit was to come close to, if any.
    """

    preferences: Preferences
    parameters: Parameters
    days: Days
    shrinkage: float
    weight: Array
    misfit: float
    theta: Array
    anchor: Anchor | None = None

    @property
    def misses(self) -> Array:
        """Shape (T, n): what each user's day adds to 1 - R^2 of the flows seen, the misfit without all that shrinks."""
        return np.asarray((self._missed_cells**2).sum(axis=2))

    @property
    def missed(self) -> float:
        """1 - R^2 of the flows seen."""
        return float(self.misses.sum())

    @property
    def noise(self) -> float:
        """Variance of the noise of a flow seen in units of the misfit, as `anchor.py` estimates it."""
        common = self.parameters.size - len(self.parameters.shrunk)
        return self.missed / max(int(self.days.train.sum()) - common, 1) * _lasting(self._missed_cells, self.days.train)

    @cached_property
    def _missed_cells(self) -> Array:
        """Shape (T, n, m): residuals of the cells seen, of which the squares sum to 1 - R^2; 0 elsewhere."""
        train = self.days.train
        residuals = Misfit(self.parameters, self.days, self.weight, 0.0, self.theta, 0.0).residuals(self.theta)
        by_cell = np.zeros(train.shape)
        by_cell[train] = residuals[: int(train.sum())]
        return by_cell


def _lasting(missed: Array, train: Mask) -> float:
    """How many times in a row say what one would, were they independent: (1 + rho) / (1 - rho), at most all of them.

    rho, from 0 to 1, is the correlation of a cell's miss with that of the time after it, over all cells seen at both.
    """
    both = train[1:] & train[:-1]
    before, after = missed[:-1][both], missed[1:][both]
    size = float(np.sqrt((before @ before) * (after @ after)))
    if size == 0.0:
        return 1.0
    rho, times = max(float(before @ after) / size, 0.0), len(train)
    return min((1.0 + rho) / max(1.0 - rho, 2.0 / (times + 1)), float(times))


class CutShortError(KeyboardInterrupt):
    """Ctrl-C during a search, with the best preferences so far."""

    def __init__(self, fit: Fit) -> None:
        super().__init__()
        self.fit = fit


def fit_days(
    days: Days,
    parameters: Parameters,
    shrinkage: float = 0.0,
    weight: Array | None = None,
    start: Array | None = None,
    anchor: Anchor | None = None,
    precision: float = PRECISION,
) -> Fit:
    """Find the preferences with the least misfit.

    Parameters
    ----------
    shrinkage
        kappa of `misfit.py`.
    weight
        Shape (T, n), how much each user's day counts; None counts all alike.
    start
        Theta to start from, such as that of a fit of the days before: no other start is tried then.
    anchor
        An elasticity known from elsewhere, to come close to as to one more observation.
    precision
        Of the misfit, below which a gain of a step ends the search.

    Raises
    ------
    CutShortError
        On Ctrl-C during the search.
    """
    if start is not None:
        return _Search(days, parameters, _weights(days, weight), anchor, precision).descend(shrinkage, start)
    return fit_path(days, parameters, (shrinkage,), weight, anchor, precision=precision)[-1]


def without_price(fit: Fit) -> Fit:
    """The fit as it goes on when what is a user's own costs next to nothing, and nothing is pulled."""
    return _Search(fit.days, fit.parameters, fit.weight, fit.anchor, ENOUGH).descend(0.0, fit.theta, _NEXT_TO_NOTHING)


def anchored_fit(fit: Fit, anchor: Anchor, *, everywhere: bool = True) -> Fit:
    """The best fit with an anchor, from where the one without ended, from there with money rescaled, from everywhere.

    Where the one without ends at next to no response, a search from there sees none at all: hence the rescaled start.
    """
    rescaled = rescaled_start(fit, response(fit.preferences, fit.days, anchor.providers), anchor.elasticity)
    starts = (fit.theta, rescaled, None) if everywhere else (fit.theta, rescaled)
    fits = [fit_days(fit.days, fit.parameters, fit.shrinkage, fit.weight, start, anchor) for start in starts]
    return min(fits, key=lambda one: one.misfit)


def rescaled_start(fit: Fit, elasticity: float, wanted: float) -> Array:
    """Theta with all but money scaled, at mean prices without any change of flows, until the response is about right.

    Neither response counts as weaker than a millionth: of none nothing can be scaled.
    """
    factor = min(elasticity, -NO_RESPONSE) / min(wanted, -NO_RESPONSE)
    return fit.parameters.rescaled(fit.theta, factor, mean_price(fit.days))


def held_fit(fit: Fit, start: Array | None, anchor: Anchor) -> Fit:
    """The fit from another start, from everywhere for None, with an elasticity held by an anchor.

    A hundred steps have to be enough, on each stretch of the way: with an elasticity held, those beyond gain little.
    """
    if start is not None:
        return _Search(fit.days, fit.parameters, fit.weight, anchor, FINE, _HELD).descend(fit.shrinkage, start)
    return fit_path(fit.days, fit.parameters, (fit.shrinkage,), fit.weight, anchor, precision=FINE, most=_HELD)[-1]


def fit_path(
    days: Days,
    parameters: Parameters,
    shrinkages: Sequence[float] = SHRINKAGES,
    weight: Array | None = None,
    anchor: Anchor | None = None,
    alike: Preferences | None = None,
    precision: float = PRECISION,
    most: int = _MOST,
) -> list[Fit]:
    """Fits for several shrinkages, strong to weak, each started where the one before it ended.

    Common preferences go on from all ends that differ, and the best of theirs counts. What is a user's own goes on from
    those of the strongest shrinkage, `alike` where they are known already.
    """
    weight = _weights(days, weight)
    wanted = sorted(set(shrinkages), reverse=True)
    fits: list[Fit] = []
    if not parameters.specification.own:
        search, starts = _Search(days, parameters, weight, anchor, precision, most), starting_points(days, parameters)
        for shrinkage in wanted:
            ends = search.rough(shrinkage, starts)
            fits.append(search.chosen(ends))
            starts = _apart([fit.theta for fit in (fits[-1], *ends)])
        return fits
    # Stronger shrinkages than those asked for come first, if only as steps on the way: their ends are not returned.
    path = [shrinkage for shrinkage in SHRINKAGES if shrinkage > wanted[0]] + wanted
    theta = parameters.pack(alike or _alike(days, parameters, path[0], weight, anchor))
    search = _Search(days, parameters, weight, anchor, precision, most)
    for own in _OWN_PATH:
        theta = search.descend(path[0], theta, own).theta
    for shrinkage in path:
        fits.append(search.descend(shrinkage, theta))
        theta = fits[-1].theta
    return fits[-len(wanted) :]


def _apart(points: Sequence[Array]) -> list[Array]:
    """Those that no earlier one is close to."""
    apart: list[Array] = []
    for point in points:
        if all(float(np.linalg.norm(point - other)) > _SAME for other in apart):
            apart.append(point)
    return apart


def _alike(days: Days, parameters: Parameters, shrinkage: float, weight: Array, anchor: Anchor | None) -> Preferences:
    """Preferences that all share."""
    s = parameters.specification
    dispersion = s.dispersion and DISPERSIONS[0]
    common = replace(s, own_congestion=False, own_price=False, own_values=False, groups={}, dispersion=dispersion)
    alike = parameters_of(common, days, parameters.user_ids, parameters.provider_ids, "common")
    search = _Search(days, alike, weight, anchor)
    return search.chosen(search.rough(shrinkage, starting_points(days, alike))).preferences


def _weights(days: Days, weight: Array | None) -> Array:
    return np.ones(days.demand.shape) if weight is None else weight


def starting_points(days: Days, parameters: Parameters) -> list[Array]:
    """Theta at several weights of congestion and dispersion, values by the linear programme, nothing a user's own."""
    s = parameters.specification
    factors = STARTS if s.congestion or s.dispersion else (0.0,)
    if s.values:
        return [_start(days, parameters, factor) for factor in factors]
    return [_spread(parameters, factor) for factor in factors]


def _spread(parameters: Parameters, factor: float) -> Array:
    """Theta at which congestion and dispersion, whichever is fitted, count `factor` times as much as prices."""
    theta = np.zeros(parameters.size)
    if parameters.specification.congestion:
        theta[parameters.places["q"]] = np.log(factor * parameters.scale)
    if parameters.specification.dispersion:
        theta[parameters.places["s"]] = np.log(factor * parameters.dispersion_scale)
    return theta


def _start(days: Days, parameters: Parameters, factor: float) -> Array:
    """Values that explain the flows best at such congestion and dispersion, delays counting for nothing at first."""
    s = parameters.specification
    # The linear programme has a row for each cell of each day: for a start, a few days are enough, evenly spread.
    chosen = np.unique(np.linspace(0, len(days.flow) - 1, _START_DAYS).round().astype(int))
    n, flow = days.flow.shape[1], days.completed_flow()[chosen]
    found = initial_values(
        days.paid[chosen],
        days.delay[chosen],
        days.capacity[chosen],
        flow,
        days.offered[chosen],
        np.ones(n),
        np.full(n, factor * parameters.scale if s.congestion else 0.0),
        np.zeros(n),
        dispersion=factor * parameters.dispersion_scale * parameters.money if s.dispersion else 0.0,
    )
    theta = _spread(parameters, factor)
    value = found.value / parameters.money
    theta[parameters.places["b"]] = np.delete(value - value[parameters.reference], parameters.reference)
    return theta


@dataclass(frozen=True, eq=False)
class _Search:
    """Descents of the misfit of some days."""

    days: Days
    parameters: Parameters
    weight: Array
    anchor: Anchor | None
    precision: float = PRECISION
    most: int = _MOST

    def rough(self, shrinkage: float, starts: Sequence[Array]) -> list[Fit]:
        """Where a few steps lead from each start."""
        ends: list[Fit] = []
        try:
            for theta in starts:
                ends.append(self.descend(shrinkage, theta, most=_ROUGH))
        except CutShortError as stop:
            raise CutShortError(min([*ends, stop.fit], key=lambda fit: fit.misfit)) from None
        return ends

    def chosen(self, ends: Sequence[Fit]) -> Fit:
        """The best of rough ends, followed to its own end.

        Of those that noise alone tells apart, that one at which congestion and dispersion count about as much as
        prices: flows of a day say nothing of the scale of money, and it should not be left to chance.
        """
        least = min(ends, key=lambda fit: fit.misfit)
        alike = [fit for fit in ends if fit.misfit <= least.misfit + least.noise]
        best = min(alike, key=self._from_prices)
        return self.descend(best.shrinkage, best.theta)

    def _from_prices(self, fit: Fit) -> float:
        """How far, in logarithms, what keeps users spread is from the mean price."""
        return abs(self.parameters.elasticity(fit.theta)[0])

    def descend(self, shrinkage: float, theta: Array, own: float = OWN, most: int = _MOST) -> Fit:
        """Least squares from one point."""
        low, high = self.parameters.bounds()
        theta = np.clip(theta, low, high)  # a start by the linear programme or of another day knows no bounds
        misfit = Misfit(self.parameters, self.days, self.weight, shrinkage, theta, own, self.anchor)
        points: list[tuple[Array, float]] = []
        try:
            for point in descent(
                misfit.residuals, misfit.jacobian, theta, low, high, precision=self.precision, most=min(most, self.most)
            ):
                points.append(point)
        except KeyboardInterrupt:
            if not points:
                raise
            raise CutShortError(self._fit(shrinkage, *points[-1])) from None
        _log.info("misfit %.6g after %d steps", points[-1][1], len(points))
        return self._fit(shrinkage, *points[-1])

    def _fit(self, shrinkage: float, theta: Array, misfit: float) -> Fit:
        return Fit(
            preferences=self.parameters.unpack(theta),
            parameters=self.parameters,
            days=self.days,
            shrinkage=shrinkage,
            weight=self.weight,
            misfit=misfit,
            theta=np.asarray(theta, dtype=np.float64),
            anchor=self.anchor,
        )
