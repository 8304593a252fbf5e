"""Tables: a public table of prices, told by its shape, and the lists that are asked for of it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from prillm_or.errors import FaultsError, nearest
from prillm_or.files.documents import parse_json
from prillm_or.files.reading import read_content
from prillm_or.market.faults import Faults
from prillm_or.prices.document import own_rows, read_own
from prillm_or.prices.litellm import litellm_rows, read_litellm
from prillm_or.prices.models_dev import models_dev_files, models_dev_rows, read_models_dev
from prillm_or.prices.openrouter import openrouter_rows, read_openrouter
from prillm_or.prices.price_list import PriceList

_KNOWN = (
    "expected the JSON of litellm's table, of the marketplace's endpoints or models, a folder or file of models.dev, "
    "or a file that `prices` wrote"
)
_NAMED = 3


@dataclass(frozen=True, eq=False)
class PriceTable:
    """A table of prices.

    Parameters
    ----------
    path
        Where it was read.
    source
        What it is, for people.
    rows
        Services by id, as the table has them.
    read
        Gives the price lists of a row, by id, the usual one first; what is wrong with it goes to the faults.
    """

    path: Path
    source: str
    rows: Mapping[str, object]
    read: Callable[[str, object, Faults], Mapping[str, PriceList]]


Reader = Callable[[str, object, Faults], Mapping[str, PriceList]]
_SCHEMAS: tuple[tuple[str, Callable[[object], Mapping[str, object]], Reader], ...] = (
    ("prices of prillm-or", own_rows, read_own),
    ("the marketplace's table", openrouter_rows, read_openrouter),
    ("models.dev", models_dev_rows, read_models_dev),
    ("litellm's table", litellm_rows, read_litellm),
)


def read_table(path: Path) -> PriceTable:
    """Read a table, whichever of the schemas it has.

    Raises
    ------
    FaultsError
        When it cannot be read, or is none of them.
    """
    if path.is_dir() or (path.suffix == ".toml" and path.is_file()):
        return _models_dev(path)
    faults = Faults()
    try:
        content = read_content(path)
        document = parse_json(content, faults)
    except ValueError as refusal:
        raise FaultsError(str(path), [str(refusal)]) from None
    if faults.lines():
        raise FaultsError(str(path), faults.lines())
    source = f"{path.name}, SHA-256 {hashlib.sha256(content).hexdigest()}"
    for name, rows_of, read in _SCHEMAS:
        if rows := rows_of(document):
            return PriceTable(path, f"{name}, {source}", rows, read)
    raise FaultsError(str(path), [f"not a table of prices that is known: {_KNOWN}"])


def lists_from(table: PriceTable, ids: Sequence[str]) -> list[PriceList]:
    """The price lists with these ids, in this order.

    Raises
    ------
    FaultsError
        When the table lacks one, or has no prices of it; it lists every fault, and the nearest ids.
    """
    faults = Faults()
    rows = {name: _row_of(table, name) for name in ids}
    read = {row: _read(table, row, faults) for row in dict.fromkeys(rows.values()) if row is not None}
    found: list[PriceList] = []
    for name, row in rows.items():
        lists = None if row is None else read[row]
        if row is None:
            faults.add((), f"no service has the id {name!r}; {_nearest(name, table.rows)}", "unknown ids")
        elif lists is not None and name not in lists:
            ends = name.removeprefix(row)
            faults.add((), f"{row} has no prices {ends!r}; there are {', '.join(lists)}", "unknown ids")
        elif lists is not None and not lists[name].price:
            faults.add((), f"{name}: has no price that we can keep: {'; '.join(lists[name].remarks) or 'none'}")
        elif lists is not None:
            found.append(lists[name])
    if faults.lines():
        raise FaultsError(str(table.path), faults.lines())
    return found


def _read(table: PriceTable, row: str, faults: Faults) -> Mapping[str, PriceList] | None:
    """The lists of a row; None, and faults, where something is wrong with it."""
    own = Faults()
    lists = table.read(row, table.rows[row], own)
    for line in own.lines():
        faults.add((), line)
    return None if own.lines() else lists


def _models_dev(path: Path) -> PriceTable:
    rows = models_dev_files(path)
    if not rows:
        raise FaultsError(str(path), ["no files PROVIDER/models/MODEL.toml in this folder, as models.dev has them"])
    return PriceTable(path, f"models.dev, {path.name}", rows, read_models_dev)


def _row_of(table: PriceTable, name: str) -> str | None:
    """Id of the row that has the list of this id: the id itself, or it without conditions."""
    ends = [k for k, letter in enumerate(name) if letter == ":"]
    starts = (name, *(name[:k] for k in reversed(ends)))
    return next((start for start in starts if start in table.rows), None)


def _nearest(name: str, rows: Mapping[str, object]) -> str:
    bare = name.rpartition("/")[2]
    near = next((near for each in (name, bare, bare.partition(":")[0]) if (near := nearest(each, rows, _NAMED))), [])
    if near:
        return f"did you mean {' or '.join(near)}?"
    few = ", ".join(list(rows)[:_NAMED])
    return f"there are {len(rows)}, such as {few}" if len(rows) > _NAMED else f"there are {few or 'none'}"
