"""Result: the price a method found, what it earns in the full market, and how far that is proven."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from prillm_or.errors import need_packages
from prillm_or.output.advice import sentences
from prillm_or.output.answer import Answer
from prillm_or.output.numbers import figure, gap_figure, seconds
from prillm_or.output.saving import writable
from prillm_or.output.tables import Block, Part, Table
from prillm_or.output.words import TIE

if TYPE_CHECKING:
    from pandas import DataFrame

    from prillm_or.market.market import Units

T = TypeVar("T")

RESULT_FORMAT = "prillm-or/result@1"
_FOR_PEOPLE = ("interrupted", "notes", "context")
"""Fields of a result that are not part of the file format."""


class Status(StrEnum):
    """How a run ended."""

    OPTIMAL = "optimal"
    """The gap is within the one asked for."""
    FEASIBLE = "feasible"
    """A price and a bound, gap open."""
    HEURISTIC = "heuristic"
    """A price, no bound."""
    TIME_LIMIT = "time_limit"
    """The time limit came first."""
    INFEASIBLE = "infeasible"
    """No price is possible."""
    ERROR = "error"
    """The method failed, or contradicted its own bound."""


@dataclass(frozen=True)
class Method:
    """Who computed: solver, model (algebraic solvers only) and abstraction."""

    solver: str
    solver_version: str
    model: str | None = None
    abstraction: str | None = None
    keep: int | None = None

    def __str__(self) -> str:
        name = "/".join(filter(None, (self.solver, self.model)))
        return name if self.abstraction is None else f"{name}, {self.abstraction}, keep {self.keep}"


@dataclass(frozen=True)
class Certificate:
    """Independent check of an equilibrium, free of units, 0 at an exact one; defined in `users/certificate.py`."""

    kkt_residual: float
    max_regret: float

    @property
    def worst(self) -> float:
        """The larger one of how far flows are from an equilibrium and of what any user could still gain."""
        return max(self.kkt_residual, self.max_regret)


@dataclass(frozen=True)
class Today:
    """The leader's prices in the file and their profit; `prices` and `factors` as those of a result."""

    prices: Mapping[str, Any]
    profit: float
    factors: Mapping[str, float] | None = None


@dataclass(frozen=True)
class Caveat:
    """What a careful analyst would say before acting on a price: a code for scripts, a text for people.

    Codes of a price: `cap-binds`, `nobody-served`, `loss`, `far-from-today`, `inelastic`, `hyperelastic`, `captive`,
    `one-of-many`, `abstracted`, and in a fitted market `unidentified`, `baseline-wins` (`solving/caveats.py`). Codes of
    a market's own figures: `delays-dominate`, `congestion-dominates`, `no-congestion`, `capacity-apart`, `no-values`,
    `cap-below-cost`, `today-above-cap`, `no-unit-costs` (`market/sanity.py`).
    """

    code: str
    text: str

    def __str__(self) -> str:
        return f"Warning: {self.text}" + ("" if self.text.endswith("?") else ".")


@dataclass(frozen=True)
class Context:
    """What a result is told by besides its own figures. Not part of the file format.

    Parameters
    ----------
    units
        Of the market.
    caps
        Highest values of the leader's decisions, by their names.
    loads
        At today's prices, by provider id; empty where there are none.
    elasticity
        Own elasticities at today's prices, by decision; None where there is none.
    """

    units: Units
    caps: Mapping[str, float]
    loads: Mapping[str, float]
    elasticity: Mapping[str, float | None]


@dataclass(frozen=True)
class Decided:
    """A number that the leader sets, as it was found.

    Parameters
    ----------
    name
        `ID` of a price or a factor, `ID.COMPONENT` of the price of a component.
    provider, component
        Whose it is, and of what; the component is None of a single price, and of a factor.
    value, today
        As found and as today, None where there is none today.
    """

    name: str
    provider: str
    component: str | None
    value: float
    today: float | None


@dataclass(frozen=True)
class Times:
    """Wall-clock seconds of each phase."""

    total: float = 0.0
    read: float = 0.0
    build: float = 0.0
    abstract: float = 0.0
    solve: float = 0.0
    verify: float = 0.0

    def verified(self, seconds: float) -> Times:
        """These and some spent on verifying."""
        return dataclasses.replace(self, total=self.total + seconds, verify=self.verify + seconds)


class Later(Generic[T]):
    """A field that may be given as a function, which is called when the field is first read.

    Parameters
    ----------
    default
        What the field is where it is left out; without one it has to be given.
    """

    def __init__(self, *default: T) -> None:
        self._default = default

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, owner: object | None, kind: type | None = None) -> T:
        if owner is None:  # as the dataclass asks for the default
            if not self._default:
                raise AttributeError(self._name)
            return self._default[0]
        value = vars(owner)[self._name]
        if callable(value):
            value = vars(owner)[self._name] = value()
        found: T = value
        return found

    def __set__(self, owner: object, value: T | Callable[[], T]) -> None:
        vars(owner)[self._name] = value


@dataclass(frozen=True, repr=False, kw_only=True)
class Result(Answer):
    """What a run answers.

    What it tells beside the price, `today`, `warnings` and `context`, is worked out when it is first asked for.

    Parameters
    ----------
    prices, loads
        By provider id: the leader's prices found, and the loads of its providers there. Where a market has components a
        provider's prices are an object by component.
    factors
        By provider id, where these are what the leader decides: what multiplies the prices of the file; else None.
    billed
        By provider id and component, the volumes billed; None where a market has no components.
    profit
        Profit of `prices` in the full market, at an equilibrium solved and certified afresh.
    upper_bound
        Proven bound on the full market's best profit, or None where the method proves none.
    gap
        (upper_bound - profit) / max(|profit|, 1e-9), or None.
    certificate
        Of the equilibrium at `prices`.
    stats
        Figures of the search by name (nodes, pieces, equilibria, rounds, ...); counts are whole numbers.
    warnings
        What to think of before acting on the prices. They never change an exit code.
    interrupted
        Whether Ctrl-C ended the run. Not part of the file format.
    notes
        Lines for people. Not part of the file format.
    context
        Figures for people; None of a result that was read from a file. Not part of the file format.
    """

    instance: str
    instance_sha256: str | None
    today: Later[Today | None] = Later()
    method: Method
    status: Status
    prices: Mapping[str, Any]
    profit: float
    upper_bound: float | None
    gap: float | None
    loads: Mapping[str, float]
    certificate: Certificate
    time_s: Times
    seed: int
    threads: int
    version: str
    stats: Mapping[str, float] = field(default_factory=dict)
    warnings: Later[tuple[Caveat, ...]] = Later(())
    interrupted: bool = False
    notes: tuple[str, ...] = ()
    context: Later[Context | None] = Later(None)
    factors: Mapping[str, float] | None = None
    billed: Mapping[str, Mapping[str, float]] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in vars(self)}

    def whole(self) -> Result:
        """The same with all that it tells worked out by now; it holds no market any more."""
        return dataclasses.replace(self)

    @property
    def price(self) -> float:
        """The price found, currency per volume unit, or the factor, of a leader that decides one.

        Raises
        ------
        AttributeError
            When it decides several: they are in `prices`.
        """
        told = self.prices if self.factors is None else self.factors
        if self.billed is None and len(told) == 1:
            return float(*told.values())
        decided = self.decided
        if len(decided) != 1:
            raise AttributeError(f"{self.instance}: the leader has {len(decided)} prices; see `prices`")
        return decided[0].value

    @property
    def decided(self) -> tuple[Decided, ...]:
        """What the leader sets; of a result that was read from a file, the prices of all components."""
        factors = self.factors is not None
        found = self.prices if self.factors is None else self.factors
        before = {} if self.today is None else (self.today.factors if factors else self.today.prices) or {}
        told = [
            Decided(name if what is None else f"{name}.{what}", name, what, value, _flat(before.get(name)).get(what))
            for name, values in found.items()
            for what, value in _flat(values).items()
        ]
        return tuple(one for one in told if self.context is None or one.name in self.context.caps)

    def to_dict(self) -> dict[str, Any]:
        """The fields of the file format, in its order; numbers that JSON cannot write become null."""
        names = (field.name for field in dataclasses.fields(self) if field.name not in _FOR_PEOPLE)
        return {"format": RESULT_FORMAT, **_placed(writable({name: getattr(self, name) for name in names}))}

    def to_frame(self) -> DataFrame:
        """A row for each of the leader's providers: its price, its price today, and its load at the price found.

        Where there are components, a row for each of them and `billed` volumes in place of loads; with factors, these
        are one more column.
        """
        need_packages("to_frame", "pandas")
        from pandas import DataFrame, MultiIndex

        today = {} if self.today is None else self.today.prices
        served = self.loads if self.billed is None else self.billed
        places = [(name, what) for name, prices in self.prices.items() for what in _flat(prices)]
        tables = (self.prices, today, served)
        rows = [[_flat(table.get(name)).get(what) for table in tables] for name, what in places]
        columns = ["price", "today", "load" if self.billed is None else "billed"]
        if self.billed is None:
            frame = DataFrame(rows, list(self.prices), columns, dtype=float).rename_axis("provider")
        else:
            index = MultiIndex.from_tuples(places, names=["provider", "component"])
            frame = DataFrame(rows, index, columns, dtype=float)
        return frame if self.factors is None else frame.assign(factor=[self.factors[name] for name, _ in places])

    def parts(self, note: str = "") -> Iterator[Part]:
        """See `results_parts`."""
        return results_parts([self], note)


def results_parts(results: Sequence[Result], note: str = "", *, verbose: bool = False) -> Iterator[Part]:
    """What results are shown by.

    One is told in sentences, and a block of its figures; of several there are a table, and the codes of the warnings.
    Notes are shown where one failed, or where `verbose` asks for them.
    """
    if len(results) == 1:
        yield from _one(results[0], note)
    else:
        yield from _several(results, note)
    for result in results:
        if verbose or result.status is Status.ERROR:
            yield from (f"{result.instance}: {line}" for line in result.notes)


def _one(result: Result, note: str) -> Iterator[Part]:
    yield f"{result.instance}{note}"
    yield ""
    yield from sentences(result)

    def fields(what: str, values: Mapping[str, Any] | None) -> list[tuple[str, str]]:
        several = len(result.prices) > 1
        return [(f"{what} of {name}" if several else what, listed(value)) for name, value in (values or {}).items()]

    today = [] if result.today is None else [("profit today", figure(result.today.profit))]
    yield Block(
        "",
        [
            ("status", f"{result.status.value.replace('_', ' ')}, by {result.method}"),
            *fields("price" if result.billed is None else "prices", result.prices),
            *fields("factor", result.factors),
            ("profit", figure(result.profit)),
            *today,
            ("bound", figure(result.upper_bound)),
            ("gap", gap_figure(result.gap)),
            *fields("load", result.loads),
            *fields("billed", result.billed),
            ("certified", f"to {figure(result.certificate.worst, 1)}"),
            ("time", seconds(result.time_s.total)),
        ],
    )


def _several(results: Sequence[Result], note: str) -> Iterator[Part]:
    columns = (
        *("instance", "method", "status", "price", "profit", "profit today", "bound", "gap", "certified to", "time"),
    )
    rows = [
        (
            result.instance,
            str(result.method),
            result.status.value.replace("_", " "),
            " ".join(f"{one.name}={figure(one.value)}" for one in result.decided),
            figure(result.profit),
            figure(None if result.today is None else result.today.profit),
            figure(result.upper_bound),
            gap_figure(result.gap),
            figure(result.certificate.worst, 1),
            seconds(result.time_s.total),
        )
        for result in results
    ]
    ranks = ("price", "profit", "status", "gap", "profit today", "time")
    yield Table(f"best prices{note}", columns, rows, columns[4:], ("method", "price"), ranks)
    for result in results:
        if codes := dict.fromkeys(warning.code for warning in result.warnings):
            yield f"{result.instance}: warnings {', '.join(codes)}"


def listed(value: float | Mapping[str, float]) -> str:
    """A number, or a number for each component."""
    if not isinstance(value, Mapping):
        return figure(value)
    return ", ".join(f"{what}{TIE}{figure(number)}" for what, number in value.items())


def _flat(value: float | Mapping[str, float] | None) -> Mapping[str | None, float]:
    """Prices or volumes of a provider by component; a single one is of None."""
    if value is None:
        return {}
    return dict(value.items()) if isinstance(value, Mapping) else {None: value}


def _placed(fields: dict[str, Any]) -> dict[str, Any]:
    """The fields of a result, those that only some markets have beside those that they belong to."""
    factors, billed = fields.pop("factors"), fields.pop("billed")
    if fields["today"] is not None and fields["today"]["factors"] is None:
        del fields["today"]["factors"]
    beside = {"prices": ("factors", factors), "loads": ("billed", billed)}
    placed: dict[str, Any] = {}
    for name, value in fields.items():
        placed[name] = value
        what, more = beside.get(name, ("", None))
        if more is not None:
            placed[what] = more
    return placed


def result_from_json(document: Mapping[str, Any]) -> Result:
    """The result that a document of the file format holds, without what the format leaves out; more is ignored.

    Raises
    ------
    KeyError, TypeError, ValueError
        When it is no such document.
    """
    names = {field.name for field in dataclasses.fields(Result)}.difference(_FOR_PEOPLE)
    fields = {key: value for key, value in document.items() if key in names}
    today = fields["today"]
    return Result(
        **fields
        | {
            "today": None if today is None else Today(**today),
            "method": Method(**fields["method"]),
            "status": Status(fields["status"]),
            "certificate": Certificate(**fields["certificate"]),
            "time_s": Times(**fields["time_s"]),
            "warnings": tuple(Caveat(**warning) for warning in fields.get("warnings", ())),
        }
    )
