"""Draw the shipped market `crowd`, a million people: `python -m benchmarks.crowd FOLDER`."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from prillm_or.files.markets import write_market
from prillm_or.market.market import Array, Market
from prillm_or.market.synthetic import generate

_DIGITS = 6


def crowd() -> Market:
    """A million people in 40 groups of 25,000, who differ in demand, delays, weights and tastes."""
    market = generate(40, 8, "market", 1, dispersion=0.3)
    text = (
        "Synthetic: a million people in 40 groups of 25,000. Drawn by generate(40, 8, 'market', 1, dispersion=0.3), "
        f"then each of the 40 users stands for 25,000 people, and figures have {_DIGITS} digits."
    )
    figures = ("demand", "price", "capacity", "value", "delay", "congestion_weight", "dispersion", "price_cap")
    rounded: dict[str, Any] = {name: _rounded(getattr(market, name)) for name in figures}
    return replace(market, name="crowd", description=text, count=np.full(40, 25_000.0), **rounded)


def _rounded(values: Array) -> Array:
    return np.asarray(np.vectorize(lambda number: float(f"{number:.{_DIGITS}g}"))(values))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Draw crowd.json.")
    parser.add_argument("folder", type=Path, help="where to write it")
    write_market(crowd(), parser.parse_args().folder / "crowd.json")
