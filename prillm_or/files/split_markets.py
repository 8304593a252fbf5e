"""Markets whose users are split: a file whose delays stay on disk, its users in parts, some of them in place of all."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from prillm_or.errors import MarketError
from prillm_or.files.delay_files import DelayFiles
from prillm_or.files.markets import checked_fields
from prillm_or.market.market import Array, Market
from prillm_or.market.rules import USER_ARRAYS

_BLOCK = 1 << 22
"""Pairs that are looked at together: what a part needs besides what it holds is a few times as many numbers."""

_DRAWN = 1000


@dataclass(frozen=True, eq=False)
class Rows:
    """Some users of a market, one after the other; small where delays are in files: another process opens them anew.

    Parameters
    ----------
    fields
        All that `Market` takes but the delays, of these users.
    delays
        Of all users of the market.
    first
        Number of the first of these.
    source
        What a fault is told by.
    """

    fields: Mapping[str, Any]
    delays: Array | DelayFiles
    first: int
    source: str

    def __len__(self) -> int:
        return len(self.fields["user_ids"])

    def some(self, rows: slice) -> Rows:
        """Some of them."""
        delays, first = self.delays, self.first + rows.start
        if not isinstance(delays, DelayFiles):
            delays, first = delays[first : self.first + rows.stop], 0
        return replace(self, fields=_of_users(self.fields, rows), delays=delays, first=first)

    def parts(self, count: int) -> list[Rows]:
        """All of them in so many parts, or in fewer, where users are fewer."""
        edges = np.linspace(0, len(self), min(count, len(self)) + 1).round().astype(int).tolist()
        return [self.some(slice(*ends)) for ends in pairwise(edges)]

    def blocks(self) -> list[Rows]:
        """All of them in parts that are looked at one after the other."""
        pairs = len(self) * len(self.fields["provider_ids"])
        return self.parts(-(-pairs // _BLOCK))

    def market(self) -> Market:
        """The market of these users alone; its capacities are those of all.

        Raises
        ------
        MarketError
            When delays break a rule, or their file is not there, or no longer what it was.
        """
        try:
            return Market(**self.fields, delay=self.delays[self.first : self.first + len(self)])
        except MarketError as refusal:
            raise MarketError(self.source, refusal.problems) from None
        except ValueError as refusal:
            raise MarketError(self.source, [f"delays.npy: {refusal}"]) from None

    def drawn(self, most: int = _DRAWN) -> Market:
        """A market of so many of the users, evenly chosen, each standing for those around it; of few users all."""
        if len(self) <= most:
            return self.market()
        edges = np.linspace(0, len(self), most + 1).round().astype(int)
        chosen, times = (edges[:-1] + edges[1:]) // 2, np.diff(edges).astype(np.float64)
        fields = _of_users(self.fields, chosen)
        demand = fields["demand"] * times
        demand *= self.fields["demand"].sum() / demand.sum()
        delays = np.concatenate([self.delays[self.first + i : self.first + i + 1] for i in chosen.tolist()])
        return Market(**{**fields, "demand": demand, "count": fields["count"] * times}, delay=delays)


@dataclass(frozen=True, eq=False)
class SplitMarket:
    """A market file whose delays were left where they are.

    Parameters
    ----------
    rows
        All its users.
    sha256, path, read_s
        As of `MarketFile`.
    """

    rows: Rows
    sha256: str
    path: Path
    read_s: float = 0.0

    @cached_property
    def head(self) -> Market:
        """Some of the users in place of all: names, providers and the leader are the market's own."""
        return self.rows.drawn()


def read_split(path: str | os.PathLike[str]) -> SplitMarket:
    """Read a market file but for the delays, which are looked at by whoever gets a part of the users.

    Raises
    ------
    MarketError
        See `read_market`.
    """
    began = time.perf_counter()
    where, fields, delays, sha256 = checked_fields(path, whole=False)
    return SplitMarket(Rows(fields, delays, 0, str(where)), sha256, where, time.perf_counter() - began)


def split_rows(market: Market) -> Rows:
    """The users of a market that is in memory."""
    said = {field.name: getattr(market, field.name) for field in dataclasses.fields(market) if field.name != "delay"}
    return Rows(said, market.delay, 0, market.name)


def _of_users(fields: Mapping[str, Any], rows: slice | Array) -> dict[str, Any]:
    """The same of some users."""
    some = {name: fields[name][rows] for name in (*USER_ARRAYS, "mix") if name in fields}
    own, ids = fields["user_values"], fields["user_ids"]
    names = ids[rows] if isinstance(rows, slice) else tuple(ids[i] for i in rows.tolist())
    return {**fields, **some, "user_ids": names, "user_values": own[rows] if own.size else own}
