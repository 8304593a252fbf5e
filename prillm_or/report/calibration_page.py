"""Page of a calibration: what was fitted, how well it predicts and how far to trust it, as one HTML file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from prillm_or import __version__
from prillm_or.calibration.bootstrap import LEVEL, Intervals
from prillm_or.calibration.calibration import Calibration, MethodScores
from prillm_or.calibration.identifiability import Identifiability
from prillm_or.calibration.left_open import bounded, left_open
from prillm_or.calibration.observations import Observations
from prillm_or.calibration.scores import Scores, scores
from prillm_or.calibration.specification import Specification
from prillm_or.market.market import Array, Mask
from prillm_or.output.numbers import figure, percent, seconds, signed
from prillm_or.report.calibration_pictures import (
    MOST,
    flow_picture,
    flow_unit,
    mean_residuals,
    money_unit,
    residual_picture,
    value_picture,
)
from prillm_or.report.profile_pictures import line_of, profile_pictures
from prillm_or.report.templates import NARROW, WIDE, fill

_KINDS = ("R² of flows", "R² without largest user", "R² of users' shares")
_GROUPS_ACROSS = 4
_FLOWS_CAPTION = "Predicted against observed flows: each mark a cell, or several that would lie on each other"


@dataclass(frozen=True)
class Table:
    """A table of a page.

    Parameters
    ----------
    texts
        Which columns hold text rather than numbers, besides the first.
    kind
        Its class in the style sheet.
    labels
        Headings that can stand alone, where the headings cannot.
    spans
        A row above the headings: text, and over how many of them it reaches.
    """

    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    texts: Sequence[int] = ()
    kind: str = ""
    labels: Sequence[str] = ()
    spans: Sequence[tuple[str, int]] = ()


def calibration_page(calibration: Calibration) -> str:
    """Fill `calibration.html.jinja`: findings, scores, pictures, what was found, and how far the data can tell."""
    observations, specification = calibration.observations, calibration.fit.parameters.specification
    found = calibration.profile
    return fill(
        "calibration.html.jinja",
        name=observations.name,
        overview=_overview(calibration),
        verdict=calibration.verdict,
        profile=[] if found is None else profile_pictures(line_of(found), money_unit(observations.units)),
        units=observations.units,
        flow_unit=flow_unit(observations.units),
        money_unit=money_unit(observations.units),
        interrupted=calibration.interrupted,
        findings=calibration.findings,
        scores=_score_table(calibration),
        score_notes=_score_notes(calibration),
        messages=[_message(method, found.note) for method, found in calibration.scores.items() if found.note],
        pictures=_pictures(calibration),
        providers=_provider_table(calibration),
        least=observations.provider_ids[int(calibration.fit.preferences.value.argmin())],
        interval_note=_interval_note(calibration),
        weights=_weight_table(calibration),
        users=_user_table(calibration),
        most=MOST,
        own=specification.own_congestion or specification.own_price,
        groups=_members(calibration) if specification.groups else [],
        group_tables=list(_group_tables(calibration)) if specification.groups else [],
        condition=_condition(calibration.identifiability),
        numbers=calibration.fit.parameters.size,
        open=[
            *left_open(calibration.identifiability.undetermined),
            *bounded(calibration.identifiability.at_most, calibration.identifiability.at_least),
        ],
        blind=[_direction(parts) for parts in calibration.identifiability.undetermined],
        shrinkage=_shrinkage_table(calibration),
        version=__version__,
    )


def _overview(calibration: Calibration) -> str:
    observations = calibration.observations
    first, last, days = observations.days[0], observations.days[-1], _count(observations.T, "day")
    seen, held = (int(cells.sum()) for cells in (calibration.fit.days.train, calibration.held_out))
    said = f" ({calibration.holdout})" if calibration.holdout else ""
    parts = [
        f"{first} ({days})" if first == last else f"{first} to {last} ({days})",
        f"{_count(observations.n, 'user')}, {_count(observations.m, 'provider')}",
        f"{_count(seen, 'cell')} seen, {f'{held:,}' if held else 'none'} held out{said}",
        f"fitted: {', '.join(_fitted(calibration.fit.parameters.specification))}",
        f"shrinkage {figure(calibration.fit.shrinkage, 3)}, {_chosen(calibration)}",
        *["not all days count alike"] * bool((calibration.fit.weight != 1).any()),
    ]
    return "; ".join(parts) + "."


def _fitted(specification: Specification) -> Iterator[str]:
    missing = [name for name in ("values", "congestion") if not getattr(specification, name)]
    yield "common preferences" + (f" without {' and '.join(missing)}" if missing else "")
    own = [name for name in ("congestion", "price") if getattr(specification, f"own_{name}")]
    yield from [f"each user's own weight of {' and of '.join(own)}"] * bool(own)
    if specification.own_values:
        yield "each user's own values"
    if specification.dispersion:
        by = "" if specification.dispersion == "common" else f" with factors by {specification.dispersion}"
        yield f"dispersion{by}"
    if specification.groups:
        yield f"values of {_count(len(specification.groups), 'group')}"


def _chosen(calibration: Calibration) -> str:
    return "given" if calibration.choice is None else "chosen by cross-validation on the cells seen"


def _score_table(calibration: Calibration) -> Table:
    """In sample, held out where something is, and the time."""
    kinds = [*_KINDS, f"MAE, {flow_unit(calibration.observations.units)}"]
    time, rest = "CPU time", "R² of flows, given the rest"
    if not calibration.held_out.any():
        rows = [[method, *_score_cells(found.in_sample), _time(found)] for method, found in calibration.scores.items()]
        return Table(["method", *kinds, time], rows, kind="scores")
    seen, held = ([f"{part}: {kind}" for kind in kinds] for part in ("seen", "held out"))
    return Table(
        ["method", *kinds, *kinds, rest, time],
        [_held_row(method, found) for method, found in calibration.scores.items()],
        kind="scores",
        labels=["method", *seen, *held, f"held out: {rest}", time],
        spans=[("", 1), ("cells seen", len(kinds)), ("cells held out", len(kinds) + 1), ("", 1)],
    )


def _held_row(method: str, found: MethodScores) -> list[str]:
    rest = _r2(None if found.held_out_rest is None else found.held_out_rest.r2)
    return [method, *_score_cells(found.in_sample), *_score_cells(found.held_out), rest, _time(found)]


def _time(found: MethodScores) -> str:
    return "-" if found.in_sample is None else seconds(found.time_s)


def _score_cells(found: Scores | None) -> list[str]:
    if found is None:
        return ["-"] * (len(_KINDS) + 1)
    return [*map(_r2, (found.r2, found.r2_without_largest, found.r2_shares)), figure(found.mae, 3)]


def _score_notes(calibration: Calibration) -> list[str]:
    demand = calibration.fit.days.demand.sum(axis=0)
    largest = int(demand.argmax())
    part = percent(float(demand[largest] / demand.sum()), 0)
    notes = [
        "R² is 1 less the squared misses over the squared deviations from the mean: 1 is perfect, 0 no better than the "
        "mean. MAE is the mean of |predicted - observed|.",
        f"R² of flows is about the largest users first: {calibration.observations.user_ids[largest]}, the largest, has "
        f"{part} of the volume. Shares are a user's flows over its demand of the day: all users count alike.",
    ]
    if calibration.held_out.any():
        notes.append(
            "Given the rest: each user's predictions of a day are scaled to what its demand leaves for its cells held "
            "out. Whoever knows the demands can do this. It tells nothing, '-', where all cells of a user's day are "
            "held out."
        )
    return notes


def _message(method: str, note: str) -> str:
    return note if note.startswith(method) else f"{method}: {note}"


def _pictures(calibration: Calibration) -> list[dict[str, object]]:
    drawn = [
        (_FLOWS_CAPTION, flow_picture),
        (_residual_caption(calibration), residual_picture),
        (_value_caption(calibration), value_picture),
    ]
    return [
        {
            "caption": caption,
            "forms": {
                form: draw(calibration, width, f"{form}{place}") for form, width in (("wide", WIDE), ("narrow", NARROW))
            },
        }
        for place, (caption, draw) in enumerate(drawn[: 3 if calibration.fit.parameters.specification.values else 2])
    ]


def _residual_caption(calibration: Calibration) -> str:
    caption = "What is missed: predicted - observed flow, mean over the days; largest volumes first"
    return caption + ("; grey: could not be" if np.isnan(mean_residuals(calibration)).any() else "")


def _value_caption(calibration: Calibration) -> str:
    caption = "Values of providers, counted from the least"
    return caption if calibration.intervals is None else f"{caption}, with {LEVEL:.0%} intervals"


def _provider_table(calibration: Calibration) -> Table:
    """One row a provider, largest observed volume first."""
    observations, money = calibration.observations, money_unit(calibration.observations.units)
    headings = [
        "provider",
        f"value b, {money}",
        f"{LEVEL:.0%} interval",
        "% of volume observed",
        "% of volume predicted",
    ]
    headings += [f"mean price, {money}", "own-price elasticity"]
    observed, predicted = (_shares(flow) for flow in (observations.flow, calibration.flow))
    rows = [
        [
            observations.provider_ids[j],
            figure(float(calibration.fit.preferences.value[j]), 4),
            _value_interval(calibration.intervals, j),
            percent(float(observed[j])).removesuffix(" %"),
            percent(float(predicted[j])).removesuffix(" %"),
            figure(_mean(_paid(observations, j)), 4),
            figure(_known(float(calibration.elasticity[j])), 3),
        ]
        for j in np.argsort(-observed, kind="stable").tolist()
    ]
    return _without_column(2, headings, rows) if calibration.intervals is None else Table(headings, rows)


def _paid(observations: Observations, j: int) -> Array:
    """What a volume unit cost at a provider, on the days that offered it, to each user where they buy unlike mixes."""
    paid = observations.paid
    there = observations.offered if paid.ndim == 2 else observations.cells
    return np.asarray(paid[..., j][there[..., j]])


def _without_column(place: int, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    lines = [[cell for k, cell in enumerate(line) if k != place] for line in (headings, *rows)]
    return Table(lines[0], lines[1:])


def _shares(flow: Array) -> Array:
    return np.asarray(flow.sum(axis=(0, 1)) / (flow.sum() or 1.0))


def _value_interval(intervals: Intervals | None, provider: int) -> str:
    if intervals is None:
        return "-"
    return "held" if provider == intervals.reference else _interval(tuple(intervals.values[provider].tolist()))


def _interval_note(calibration: Calibration) -> str:
    intervals = calibration.intervals
    if intervals is None:
        return "No intervals: there are no bootstrap draws."
    reference = calibration.observations.provider_ids[intervals.reference]
    return (
        f"{LEVEL:.0%} intervals rest on {_count(intervals.draws, 'fit')} to randomly weighted {intervals.drawn} "
        f"(Bayesian bootstrap); in all of them the value of {reference}, the reference, is held. With a shrinkage they "
        "do not hold its bias."
    )


def _weight_table(calibration: Calibration) -> Table:
    preferences, units = calibration.fit.preferences, calibration.observations.units
    ends: Mapping[str, tuple[float, ...]] = {} if calibration.intervals is None else calibration.intervals.weights
    counts = calibration.fit.parameters.specification.congestion
    congestion = [figure(preferences.congestion, 4), _interval(ends.get("congestion"))]
    money = money_unit(units)
    rows = [
        ["price", "1", "held", "none"],
        ["congestion, common", *(congestion if counts else ["0", "held"]), f"{money} and congestion unit"],
        ["delay", figure(preferences.delay, 4), _interval(ends.get("delay")), f"{money} and {units.delay}"],
    ]
    if preferences.dispersion:
        rows.append(["dispersion", figure(preferences.dispersion, 4), _interval(ends.get("dispersion")), money])
    return Table(["weight of", "value", f"{LEVEL:.0%} interval", "unit"], rows, texts=[3])


def _user_table(calibration: Calibration) -> Table:
    """One row a user, largest demand first; weights where they are its own."""
    observations, preferences = calibration.observations, calibration.fit.preferences
    specification, demand = calibration.fit.parameters.specification, observations.demand
    columns: dict[str, list[str]] = {"user": list(observations.user_ids)}
    mean = [_mean(demand[observations.present[:, i], i]) for i in range(observations.n)]
    columns[f"demand, {flow_unit(observations.units)}"] = [figure(value, 4) for value in mean]
    if specification.own_congestion:
        columns["weight of congestion"] = [figure(value, 4) for value in preferences.congestion_weight.tolist()]
    if specification.own_price:
        columns["weight of price"] = [figure(value, 4) for value in preferences.price_factor.tolist()]
    if specification.dispersion == "user":
        columns["dispersion"] = [figure(value, 4) for value in preferences.user_dispersion.tolist()]
    columns["R² of its shares, cells seen"] = _share_scores(calibration, calibration.fit.days.train)
    if calibration.held_out.any():
        columns["R² of its shares, held out"] = _share_scores(calibration, calibration.held_out)
    rows = list(zip(*columns.values(), strict=True))
    return Table(list(columns), [rows[i] for i in np.argsort(-demand.sum(axis=0), kind="stable").tolist()])


def _share_scores(calibration: Calibration, cells: Mask) -> list[str]:
    observations = calibration.observations
    users = [slice(i, i + 1) for i in range(observations.n)]
    found = [
        scores(observations.flow[:, i], calibration.flow[:, i], observations.demand[:, i], cells[:, i]) for i in users
    ]
    return [_r2(score.r2_shares) for score in found]


def _members(calibration: Calibration) -> list[tuple[str, str]]:
    """Each group with its users."""
    preferences = calibration.fit.preferences
    return [
        (name, ", ".join(preferences.user_ids[i] for i in np.flatnonzero(preferences.group == k).tolist()))
        for k, name in enumerate(preferences.group_ids)
    ]


def _group_tables(calibration: Calibration) -> Iterator[Table]:
    """Values by provider and group, a few groups to a table."""
    preferences = calibration.fit.preferences
    order = np.argsort(-_shares(calibration.observations.flow), kind="stable").tolist()
    for first in range(0, len(preferences.group_ids), _GROUPS_ACROSS):
        own = preferences.group_value[first : first + _GROUPS_ACROSS]
        rows = [
            [
                preferences.provider_ids[j],
                *(f"{figure(preferences.value[j] + more, 4)} ({signed(more)})" for more in own[:, j].tolist()),
            ]
            for j in order
        ]
        yield Table(["provider", *preferences.group_ids[first : first + _GROUPS_ACROSS]], rows, kind="groups")


def _condition(found: Identifiability) -> str:
    return "infinite: the smallest singular value is 0" if found.condition is None else figure(found.condition, 3)


def _direction(parts: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {signed(part, 2)}" for name, part in parts.items())


def _shrinkage_table(calibration: Calibration) -> Table | None:
    choice = calibration.choice
    if choice is None:
        return None
    rows = [
        [figure(kappa, 3), _r2(r2), "chosen" if kappa == choice.shrinkage else ""] for kappa, r2 in choice.tried.items()
    ]
    return Table(["shrinkage kappa", "R² of flows held out in turn", ""], rows, texts=[2])


def _interval(ends: tuple[float, ...] | None) -> str:
    return "-" if ends is None else f"{figure(ends[0], 3)} to {figure(ends[1], 3)}"


def _r2(value: float | None) -> str:
    """Four decimals where they say something."""
    if value is None:
        return "-"
    return f"{value:.3g}" if abs(value) >= 100 else f"{round(value, 4) + 0.0:.4f}"


def _known(value: float) -> float | None:
    return None if np.isnan(value) else value


def _mean(values: Array) -> float | None:
    return float(values.mean()) if values.size else None


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + "s" * (number != 1)
