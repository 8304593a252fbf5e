"""prillm-or instances: the markets that can be named."""

from __future__ import annotations

import numpy as np

from prillm_or.cli.common import Json, finish, names_here, read_instance
from prillm_or.market.decisions import FACTOR
from prillm_or.market.market import Market, by_decision
from prillm_or.output.numbers import figure
from prillm_or.output.tables import Table


def command(json: Json = None) -> int:
    """List the markets that can be given by name: those of ./instances and those shipped.

    \b
    Example:
      prillm-or instances
    """
    markets = [(name, read_instance(name).market) for name in names_here("instances")]
    rows = [(name, _users(m), str(m.m), _leader(m), _today(m)) for name, m in markets]
    columns = ("name", "users", "providers", "leader", "price today")
    numbers = ("users", "providers", "price today")
    listed = Table("instances", columns, rows, numbers, texts=("leader",), ranks=("leader",))
    finish([listed], [_to_json(name, market) for name, market in markets], json)
    return 0


def _users(market: Market) -> str:
    """How many rows there are, and how many people they stand for where these are more."""
    people = market.count.sum()
    return f"{market.n}" if people == market.n else f"{market.n} ({figure(people)} people)"


def _leader(market: Market) -> str:
    """Its providers, with the components of their price lists."""
    listed = f" ({', '.join(market.components)})" if market.components else ""
    return ", ".join(market.leader_ids) + listed


def _today(market: Market) -> str:
    """The prices today of what the leader decides, the whole list of a factor."""
    lists = market.decides == FACTOR
    values = market.price[list(market.leader)].ravel() if lists else market.current
    return "-" if np.isnan(values).any() else ", ".join(figure(price) for price in values)


def _to_json(name: str, market: Market) -> dict[str, object]:
    listed = {
        "name": name,
        "users": market.n,
        "providers": market.m,
        "leader": list(market.leader_ids),
        "today": None if market.today is None else by_decision(market, market.today),
    }
    if market.components:
        listed["components"] = list(market.components)
    return listed if (market.count == 1).all() else listed | {"people": int(market.count.sum())}
