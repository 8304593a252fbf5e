"""prillm-or prices: price lists of services, out of public tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from prillm_or.cli.common import check_files, finish
from prillm_or.errors import ArgumentError, argument
from prillm_or.output.checking import checked_output
from prillm_or.output.numbers import figure
from prillm_or.output.saving import replace_file
from prillm_or.output.tables import Block, Part
from prillm_or.output.words import TIE


def command(
    table: Annotated[Path, typer.Argument(metavar="FILE", help="A public table of prices.", show_default=False)],
    providers: Annotated[str, typer.Option(metavar="ID,ID", help="Services, by their ids in the table.")],
    out: Annotated[Path, typer.Option(metavar="FILE", help="Where to write: .json.")],
) -> int:
    """Write `components` and `providers` entries of a market file, with prices from a public table.

    Tables: the JSON of litellm (model_prices_and_context_window.json); the marketplace's, of a model's endpoints or of
    all models; models.dev's, its TOML files or api.json; a file that this command wrote. Prices become USD per 1e6
    units. Batch, flex, priority and other ways to be served are services of their own, ID:batch; so are the prices of
    long requests, ID:above-200k. What cannot be kept is named.

    \b
    Example:
      prillm-or prices model_prices.json --providers gpt-5.5,gpt-5.5:batch --out lists.json
    """
    from prillm_or.files.documents import laid_out
    from prillm_or.prices.document import document
    from prillm_or.prices.tables import lists_from, read_table

    ids = _ids(providers)
    checked_output(out, (".json",))
    check_files(out, reads=[table])
    found = read_table(table.expanduser())
    written = document(lists_from(found, ids), f"Prices from {found.source}.")
    content = laid_out(written).encode(errors="backslashreplace")  # half a surrogate pair, as JSON escapes it
    finish(_shown(out, written), written, None, partial(replace_file, out, content))
    return 0


def _ids(given: str) -> list[str]:
    """Ids between commas.

    Raises
    ------
    ArgumentError
        When one is empty, or given twice.
    """
    ids = [each.strip() for each in given.split(",")]
    twice = sorted({each for each in ids if ids.count(each) > 1})
    if not all(ids) or twice:
        wrong = f"{twice[0]!r} is given twice" if all(ids) else f"one is empty in {given!r}"
        raise ArgumentError(f"{argument('providers')}: expected different ids, with commas between them; {wrong}")
    return ids


def _shown(out: Path, written: Mapping[str, Any]) -> Iterator[Part]:
    prices = [
        (each["id"], ", ".join(f"{component}{TIE}{figure(price)}" for component, price in each["price"].items()))
        for each in written["providers"]
    ]
    yield f"{out}: {len(prices)} service{'s' * (len(prices) > 1)}"
    yield Block("USD per 1e6 units", prices)
    yield from (f"* {', '.join(note['providers'])}: {note['text']}" for note in written["notes"])
