"""Prices of LLM services as a Stackelberg routing game: the best price for a leader, proven.

Names are imported when first used, so that `import prillm_or` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prillm_or.errors import MarketError, PrillmError
    from prillm_or.files.markets import MarketFile, read_market, write_market
    from prillm_or.market.market import Market, Units
    from prillm_or.result import Result, Status
    from prillm_or.solving.pricer import Pricer

__version__ = "0.1.0"

__all__ = [
    "Market",
    "MarketError",
    "MarketFile",
    "Pricer",
    "PrillmError",
    "Result",
    "Status",
    "Units",
    "__version__",
    "read_market",
    "write_market",
]

# No function may share its name with a module of the package (solve, equilibrium): importing the module would hide it.
_HOMES = {
    "MarketFile": "files.markets",
    "Market": "market.market",
    "MarketError": "errors",
    "Pricer": "solving.pricer",
    "PrillmError": "errors",
    "Result": "result",
    "Status": "result",
    "Units": "market.market",
    "read_market": "files.markets",
    "write_market": "files.markets",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'prillm_or' has no attribute {name!r}")
    value: object = getattr(import_module(f"prillm_or.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
