"""prillm-or instances: the markets that can be named."""

from __future__ import annotations

from prillm_or.cli.common import Json, finish, names_here, read_instance
from prillm_or.market.market import Market, by_leader
from prillm_or.output.numbers import figure
from prillm_or.output.tables import Table


def command(json: Json = None) -> int:
    """List the markets that can be given by name: those of ./instances and those shipped.

    \b
    Example:
      prillm-or instances
    """
    markets = [(name, read_instance(name).market) for name in names_here("instances")]
    rows = [(name, str(m.n), str(m.m), ", ".join(m.leader_ids), _today(m)) for name, m in markets]
    columns = ("name", "users", "providers", "leader", "price today")
    numbers = ("users", "providers", "price today")
    listed = Table("instances", columns, rows, numbers, texts=("leader",), ranks=("leader",))
    finish([listed], [_to_json(name, market) for name, market in markets], json)
    return 0


def _today(market: Market) -> str:
    return "-" if market.today is None else ", ".join(figure(price) for price in market.today)


def _to_json(name: str, market: Market) -> dict[str, object]:
    today = None if market.today is None else by_leader(market, market.today)
    return {"name": name, "users": market.n, "providers": market.m, "leader": list(market.leader_ids), "today": today}
