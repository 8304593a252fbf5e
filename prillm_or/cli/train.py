"""prillm-or train: train the networks of an abstraction; write weights, their card and the learning curves."""

from __future__ import annotations

import shutil
import time
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from prillm_or.cli.common import Address, EngineName, Verbose, checked_output, console, progress, report, table
from prillm_or.errors import PrillmError, UnavailableError
from prillm_or.output.saving import replace_file
from prillm_or.users.threads import cores
from prillm_or.workers.engine import Engine, engine_of, without_ctrl_c

if TYPE_CHECKING:
    from collections.abc import Callable

    from prillm_or.abstraction.training.course import Course
    from prillm_or.abstraction.training.outcome import Trained

_SCENARIOS = {"learned": 30_000, "learned-paper": 4_000}


def command(
    out: Annotated[Path, typer.Option(metavar="FILE", help="Where to write the weights: .safetensors.")],
    kind: Annotated[
        Literal["learned", "learned-paper"], typer.Option(help="Whose networks: ours, or the paper's.")
    ] = "learned",
    scenarios: Annotated[
        int | None, typer.Option(min=100, help="Scenarios to learn from; 30000 for learned, 4000 for learned-paper.")
    ] = None,
    epochs: Annotated[int, typer.Option(min=1, help="Passes over them, at most.")] = 30,
    seed: Annotated[int, typer.Option(min=0, help="Seed of scenarios and weights.")] = 0,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Processes, and threads of the networks; all cores if not given.")
    ] = None,
    engine: EngineName = "local",
    address: Address = None,
    verbose: Verbose = False,
) -> int:
    """Train the networks that say where to anchor and whom to keep.

    Beside the weights come a card (.md) and the learning curves (.svg). A run that was stopped goes on where it was
    when the same command is given again; what it needs for that lies in FILE.parts until it is done.

    \b
    Example:
      prillm-or train --out mine.safetensors --scenarios 2000
      prillm-or solve coding-13 --abstraction learned --weights mine.safetensors
    """
    checked_output(out, (".safetensors",))
    if out.is_dir():
        raise PrillmError(f"{out}: is a folder; give the name of a file to write")
    train = _trainer(kind)
    from prillm_or.abstraction.training.card import card
    from prillm_or.abstraction.training.course import Course
    from prillm_or.abstraction.training.fit import Schedule
    from prillm_or.abstraction.weights import write_weights
    from prillm_or.report.learning import learning_picture

    parts = out.with_name(f"{out.name}.parts")
    try:
        parts.mkdir(exist_ok=True)
    except OSError as failure:
        raise PrillmError(f"{parts}: cannot be made: {failure.strerror}") from None
    scenarios = scenarios or _SCENARIOS[kind]
    course = Course(scenarios, Schedule(epochs=epochs, seed=seed), _engine(engine, jobs, address), jobs or cores())
    began = time.perf_counter()
    try:
        with progress(f"training {kind}", verbose=verbose):
            trained = train(course, parts)
    except KeyboardInterrupt:
        report(f"interrupted; the same command goes on where this run was: its parts are in {parts}")
        return 130
    asked = f"prillm-or train --kind {kind} --scenarios {scenarios} --epochs {epochs} --seed {seed} --out {out.name}"
    text = card(kind, course, trained, asked, time.perf_counter() - began)
    replace_file(out.with_suffix(".md"), text.encode())
    replace_file(out.with_suffix(".svg"), learning_picture(trained.history, out.stem).encode())
    write_weights(out, kind, trained.network, {"command": asked})
    shutil.rmtree(parts)
    rows = [(s.what, str(s.count), f"{100 * s.mean:.3f}", f"{100 * s.worst:.2f}") for s in trained.scores]
    columns = ("third set", "scenarios", "mean %", "worst %")
    console().print(table(f"{out}: profit shares", columns, rows, right=columns[1:]))
    return 0


def _engine(name: str, jobs: int | None, address: str | None) -> Engine:
    """Where examples are computed; `jobs` counts the networks' threads, too, which stay on this machine."""
    return engine_of(name, (jobs or cores()) if name == "local" else 1, address)


def _trainer(kind: str) -> Callable[[Course, Path], Trained]:
    """The training function of a kind; torch is imported here."""
    missing = [package for package in ("torch", "safetensors") if find_spec(package) is None]
    if missing:
        raise UnavailableError(f"train: {', '.join(missing)} missing; pip install 'prillm-or[learn]'")
    with without_ctrl_c():
        if kind == "learned":
            from prillm_or.abstraction.training.learned import train as train_learned

            return train_learned
        from prillm_or.abstraction.training.learned_paper import train as train_paper

        return train_paper
