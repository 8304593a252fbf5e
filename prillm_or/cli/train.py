"""prillm-or train: train the network of an abstraction; write weights, their card and the learning curves."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from prillm_or.cli.common import Address, EngineName, Verbose, progress, tell
from prillm_or.cli.streams import report


def command(
    out: Annotated[Path, typer.Option(metavar="FILE", help="Where to write the weights: .safetensors.")],
    kind: Annotated[
        Literal["learned", "learned-paper"], typer.Option(help="Whose network: of learned, or of learned-paper.")
    ] = "learned",
    scenarios: Annotated[
        int | None, typer.Option(min=100, help="Scenarios to learn from; 30000 for learned, 4000 for learned-paper.")
    ] = None,
    epochs: Annotated[int, typer.Option(min=1, help="Passes over them, at most.")] = 30,
    seed: Annotated[int, typer.Option(min=0, help="Seed of scenarios and weights.")] = 0,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Processes, and threads of the network; all cores if not given.")
    ] = None,
    engine: EngineName = "local",
    address: Address = None,
    verbose: Verbose = False,
) -> int:
    """Train the network of an abstraction.

    Beside the weights come a card (.md) and the learning curves (.svg). A run that was stopped goes on where it was
    when the same command is given again; what it needs for that lies in FILE.parts until it is done.

    \b
    Example:
      prillm-or train --out mine.safetensors --scenarios 2000
      prillm-or solve coding-13 --abstraction learned --weights mine.safetensors
    """
    from prillm_or.abstraction.training.parts import parts_of
    from prillm_or.abstraction.training.train import train

    try:
        with progress(f"training {kind}", verbose=verbose):
            trained = train(
                out,
                kind=kind,
                scenarios=scenarios,
                epochs=epochs,
                seed=seed,
                jobs=jobs,
                engine=engine,
                address=address,
            )
    except KeyboardInterrupt:
        report(f"interrupted; the same command goes on where this run was: its parts are in {parts_of(out)}")
        return 130
    tell(*trained.parts(f", {out}"))
    return 0
