"""split: the best price of one market whose users are in parts, looked at by this process or by workers."""

from __future__ import annotations

import os
import time

from prillm_or import __version__
from prillm_or.errors import CombinationError, argument
from prillm_or.files.split_markets import read_split
from prillm_or.limits import Limits
from prillm_or.market.market import Market
from prillm_or.result import Method, Result, Times
from prillm_or.solvers.bisect import bisected
from prillm_or.solving.judge import judge
from prillm_or.users.parts import Part
from prillm_or.users.split import SplitUsers
from prillm_or.workers.engine import Engine
from prillm_or.workers.held import held

_BY = "bisect"
"""Who computes: it asks for nothing but equilibria and slopes."""


def solve_split(path: str | os.PathLike[str], engine: Engine, limits: Limits) -> Result:
    """Find the best price of a market whose users are spread over the workers of an engine; see `solve`.

    Raises
    ------
    MarketError
        When the file breaks a rule.
    CombinationError
        When the leader does not set one price.
    PrillmError
        When a cluster cannot be reached, is lost, or loses the same part of the users again and again.
    KeyboardInterrupt
        When it comes before any price was found.
    """
    began = time.perf_counter()
    file = read_split(path)
    head = file.head
    _check(head)
    with held(engine, Part, file.rows.parts) as each:
        users = SplitUsers(head, each)
        proposal = bisected(head, users, limits)
        seconds = time.perf_counter() - began
        spent = Times(total=seconds, read=file.read_s, solve=seconds - file.read_s)
        method = Method(_BY, __version__)
        result = judge(head, users, proposal, method, limits, spent=spent, sha256=file.sha256)
        return result.whole()  # while there is somebody to ask


def _check(market: Market) -> None:
    """Refuse leaders that `bisect` cannot price by loads alone."""
    split = argument("split", "users")
    if len(market.decisions) > 1:
        raise CombinationError(
            f"{market.name}: the leader sets {len(market.decisions)} prices, with {split} it may set one; leave "
            f"{split} out, or give it one"
        )
    if not market.plain:
        raise CombinationError(
            f"{market.name}: the leader sets a component of a price list or a factor, with {split} it may set a plain "
            f"price alone; leave {split} out"
        )
