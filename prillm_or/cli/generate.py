"""prillm-or generate: a synthetic market, reproducible from its seed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from prillm_or.cli.common import tell
from prillm_or.files.markets import write_market
from prillm_or.market.synthetic import generate
from prillm_or.output.checking import checked_output


def command(
    users: Annotated[int, typer.Option(min=1, help="Number of users.")],
    providers: Annotated[int, typer.Option(min=2, help="Number of providers; the last one leads.")],
    out: Annotated[Path, typer.Option(metavar="FILE", help="Where to write: .json or .json.gz.")],
    shape: Annotated[
        Literal["uniform", "heavy", "market"], typer.Option(help="Distributions of the figures.")
    ] = "uniform",
    seed: Annotated[int, typer.Option(min=0, help="Seed of all draws.")] = 0,
    latency: Annotated[
        Literal["network"] | None, typer.Option(help="Take delays from a random network instead of independent draws.")
    ] = None,
    components: Annotated[
        str, typer.Option(metavar="NAME,...", help="Draw mixes and price lists: what is billed apart, by name.")
    ] = "",
    people: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Crowds: how many the users stand for together.")
    ] = None,
    dispersion: Annotated[
        float, typer.Option(metavar="S", min=0.0, help="Median of the users' dispersions, currency per volume unit.")
    ] = 0.0,
    congestion: Annotated[
        bool, typer.Option("--congestion/--no-congestion", help="Whether users weigh congestion.")
    ] = True,
) -> int:
    """Write a synthetic market.

    \b
    Example:
      prillm-or generate --users 20 --providers 10 --shape heavy --seed 7 --out mine.json
      prillm-or generate --users 40 --providers 6 --components input,output --people 1000000 --out crowd.json
    """
    checked_output(out, (".json", ".json.gz"))
    names = [name.strip() for name in components.split(",")] if components else []
    market = generate(
        users,
        providers,
        shape,
        seed,
        latency,
        components=names,
        people=people,
        dispersion=dispersion,
        congestion=congestion,
    )
    write_market(market, out)
    tell(f"{out}: {users} users, {providers} providers, shape {shape}, seed {seed}")
    return 0
