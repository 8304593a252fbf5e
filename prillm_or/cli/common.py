"""What commands share: options, tables, progress, and reading instances one after the other."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from math import isfinite
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from prillm_or.cli.quiet import quiet
from prillm_or.cli.streams import printing, report
from prillm_or.errors import CombinationError, PrillmError
from prillm_or.files.markets import MarketFile, read_market
from prillm_or.files.names import SUFFIXES, Kind, file_in, find, is_path, is_shipped, names_in, shipped, unknown
from prillm_or.market.outside import with_outside
from prillm_or.models.registry import MODELS
from prillm_or.output.checking import check_outputs, checked_output
from prillm_or.output.numbers import figure
from prillm_or.output.saving import write_json
from prillm_or.output.tables import Part, console, show
from prillm_or.result import Status
from prillm_or.solvers.registry import SOLVERS, solver_names
from prillm_or.workers.ctrl_c import without_ctrl_c

Json = Annotated[
    str | None,
    typer.Option("--json", metavar="FILE", help="Write the result as JSON; '-' is standard output, then nothing else."),
]
Verbose = Annotated[bool, typer.Option("--verbose", help="Say more: notes of the method, log on standard error.")]
OneInstance = Annotated[str, typer.Argument(metavar="INSTANCE", help="A market file, or the name of a shipped one.")]
Instances = Annotated[
    list[str], typer.Argument(metavar="INSTANCE...", help="Market files, or names of shipped ones.", show_default=False)
]
Jobs = Annotated[int, typer.Option(min=1, help="Markets or runs at a time, on this machine.")]
EngineName = Annotated[
    Literal["local", "dask"],
    typer.Option("--engine", help="Who spreads work: this machine, or a Dask cluster you trust."),
]
Address = Annotated[
    str | None,
    typer.Option(metavar="URL", help="The Dask scheduler's, as in tcp://127.0.0.1:8786; it can run code here."),
]


def finite(value: float | None) -> float | None:
    """Callback of an option that must not be infinite."""
    if value is not None and not isfinite(value):
        raise typer.BadParameter(f"expected a finite number, got {value}")
    return value


Outside = Annotated[
    float | None,
    typer.Option(
        "--outside",
        metavar="VALUE",
        callback=finite,
        help="Users may leave: add a rival `outside` of this value, price 0 and no congestion.",
    ),
]

Plot = Annotated[Path | None, typer.Option("--plot", metavar="FILE", help="Draw it, as .svg, .png or .pdf.")]

Document = Mapping[str, Any] | Sequence[Mapping[str, Any]]

_WEIGHTS = (".safetensors",)


def here(kind: Kind, name: str, suffixes: Sequence[str] | None = None, also: Collection[str] = ()) -> str:
    """What the library is to be given for a name: the path of a file in the working directory's folder, if it has one.

    Else the name as it is, which stands for a shipped file or is one of `also`; so it does where the two folders are
    the same. What is no name, but a file, is given as a path.
    """
    endings = SUFFIXES[kind] if suffixes is None else suffixes
    if is_path(name, endings):
        return name
    if (path := file_in(Path(kind), name, endings)) is not None:
        return name if is_shipped(path) else str(path)
    known = name in also or file_in(shipped(kind), name, endings) is not None
    return f"./{name}" if not known and Path(name).is_file() else name


def known_here(kind: Kind, name: str, suffixes: Sequence[str] | None = None, also: Collection[str] = ()) -> str:
    """The same, of a name that there is, or of one of `also`, which need no file.

    Raises
    ------
    UnknownNameError
        When neither folder has it; it lists the nearest names of both.
    """
    found = here(kind, name, suffixes, also)
    endings = SUFFIXES[kind] if suffixes is None else suffixes
    if not is_path(found, endings) and found not in also and file_in(shipped(kind), found, endings) is None:
        raise unknown(kind, name, also, names_here(kind, suffixes))
    return found


def names_here(kind: Kind, suffixes: Sequence[str] | None = None) -> list[str]:
    """Sorted names of the working directory's folder and of the shipped one."""
    endings = SUFFIXES[kind] if suffixes is None else suffixes
    return sorted({name for folder in (Path(kind), shipped(kind)) for name in names_in(folder, endings)})


def solver_here(name: str) -> str:
    """A solver or one of its profiles, as `known_here`; a solver's own name stands for its default profile."""
    if name in SOLVERS:
        default = here("solvers", f"{name}/default")
        return default if is_path(default, SUFFIXES["solvers"]) else name
    return known_here("solvers", name, also=solver_names())


def model_here(name: str | None) -> str | None:
    """A model profile, as `known_here`."""
    return None if name is None else known_here("models", name, also=MODELS)


def weights_here(abstraction: str, weights: str | None) -> str | None:
    """Weights, as `known_here`; by default those of the abstraction's name."""
    from prillm_or.abstraction.registry import ABSTRACTIONS

    if abstraction not in ABSTRACTIONS or not ABSTRACTIONS[abstraction].weights:
        return weights  # which are refused, if there are any
    if weights is not None:
        return known_here("models", weights, _WEIGHTS)
    default = here("models", f"abstraction/{abstraction}", _WEIGHTS)
    return default if is_path(default, _WEIGHTS) else None


def read_instance(name: str, outside: float | None = None) -> MarketFile:
    """Read the market a name or path stands for, and add an outside option of value `outside`, unless it is None."""
    file = read_market(find("instances", known_here("instances", name)))
    return file if outside is None else replace(file, market=with_outside(file.market, outside))


def outside_note(outside: float | None) -> str:
    """What a heading says after the market's name where `--outside` was given."""
    return "" if outside is None else f", with an outside option of value {figure(outside)}"


def outside_field(outside: float | None) -> dict[str, float]:
    """What a JSON document holds besides where `--outside` was given: its market is not quite that of the file."""
    return {} if outside is None else {"outside": outside}


def tell(*parts: Part) -> None:
    """Print lines and tables."""
    with printing():
        show(parts)


def finish(
    parts: Iterable[Part],
    document: Document,
    json: str | None,
    *writes: Callable[[], Iterable[str | Path] | None] | None,
) -> None:
    """Write all files, then print: a result that cannot be printed is in its files, and the other way round.

    Parameters
    ----------
    parts
        What is shown; with `--json -` nothing.
    document, json
        What `--json` writes, and where, if anywhere.
    writes
        Each writes other files, and names those that the user did not name; None does nothing.

    Raises
    ------
    PrillmError
        At the end, when something could not be written.
    """
    files = [None if json in (None, "-") else partial(write_json, document, json), *writes]
    written: list[str] = []
    failures: list[str] = []
    try:
        with without_ctrl_c():
            for write in filter(None, files):
                try:
                    written.extend(map(str, write() or ()))
                except PrillmError as failure:
                    failures.append(failure.message)
        if json == "-":
            with printing():
                write_json(document, json)
        else:
            tell(*parts, *([" ".join(["written:", *written])] if written else []))
    except KeyboardInterrupt:
        report("interrupted, when all was done")
        raise typer.Exit(130) from None
    finally:
        if failures:
            raise PrillmError("\n".join(failures))


def exit_code(status: str, gap_asked: bool = True) -> int:
    """Code that a run of this status ends with.

    0 if the gap was reached, or none was asked of a method that proves none; 3 if the method failed or contradicts
    itself; 1 otherwise.
    """
    if status == Status.ERROR:
        return 3
    return 0 if status == Status.OPTIMAL or (status == Status.HEURISTIC and not gap_asked) else 1


def by_name(flag: str, given: Iterable[str], what: str) -> dict[str, str]:
    """What is given as NAME=VALUE, by name; each has a name of its own.

    Raises
    ------
    CombinationError
        When it is not so; `what` is what it is told to be.
    """
    found: dict[str, str] = {}
    for text in given:
        name, sign, value = text.partition("=")
        if not (name and sign and value):
            raise CombinationError(f"{flag} {text}: expected NAME={what}")
        if name in found:
            raise CombinationError(f"{flag} {text}: there are several of this name; give each its own")
        found[name] = value
    return found


def is_given(context: typer.Context, name: str) -> bool:
    """Whether the command line names a flag."""
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def check_shipped(solver: str, model: str | None, weights: str | None) -> None:
    """Refuse profiles and weights that a cluster's workers do not have, or take for others of the same name.

    Raises
    ------
    CombinationError
        When one is not among those shipped.
    """
    given = ((solver, SUFFIXES["solvers"]), (model, SUFFIXES["models"]), (weights, _WEIGHTS))
    paths = [Path(name) for name, suffixes in given if name is not None and is_path(name, suffixes)]
    if own := [path for path in paths if not is_shipped(path)]:
        raise CombinationError(
            f"--engine dask: {own[0].absolute()} is a file of this machine, workers have those shipped; use --engine "
            "local"
        )


@contextmanager
def progress(what: str, *, verbose: bool) -> Iterator[None]:
    """Show on a terminal what is going on; with `verbose`, log lines instead. Meanwhile standard output stays empty."""
    logger = logging.getLogger("prillm_or")
    handler: logging.Handler
    if verbose:
        handler = logging.StreamHandler(sys.stderr)
        with quiet(), _logging_to(logger, handler):
            yield
    elif sys.stderr.isatty():
        with console().status(what) as status:
            handler = _StatusHandler(lambda line: status.update(f"{what}: {line}"))
            with quiet(), _logging_to(logger, handler):
                yield
    else:
        with quiet():
            yield


@contextmanager
def _logging_to(logger: logging.Logger, handler: logging.Handler) -> Iterator[None]:
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)


class _StatusHandler(logging.Handler):
    """Shows the last log line."""

    def __init__(self, show: Any) -> None:
        super().__init__()
        self._show = show

    def emit(self, record: logging.LogRecord) -> None:
        self._show(self.format(record))


def check_files(*outputs: str | Path | None, plot: Path | None = None, reads: Iterable[str | Path | None] = ()) -> None:
    """Refuse outputs that cannot be written, or are one of the files that are read, before there is any work.

    Parameters
    ----------
    reads
        Paths, and names as `here` gives them; those shipped are nobody's to write to.
    """
    if plot is not None:
        from prillm_or.output.canvas import need_pictures
        from prillm_or.output.plots import ENDINGS

        checked_output(plot, ENDINGS)
        need_pictures(f"--plot {plot}")
    check_outputs(*outputs, plot, inputs=[Path(name).expanduser() for name in reads if name is not None])
