"""Make the shipped real markets again, and the figures of their README.

`python -m benchmarks.shipped TABLES WORK [NAME ...]` runs the commands of instances/README.md on the raw tables in the
new folder WORK, and puts the markets (all, if none is named) into instances/; without arguments it prints the table of
their figures alone.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import prillm_or as po
from prillm_or.cli import run

INSTANCES = Path(__file__).parents[1] / "instances"
ANCHOR = "--elasticity=-1.07:0.32"
"""Own-price elasticity that price changes of other markets imply (`python -m benchmarks events`), standard error."""

_OTHERS: dict[str, dict[str, Any]] = {
    "premium-4-two-prices": {
        "providers": ["claude-opus-4.8", "claude-sonnet-4.6"],
        "price_cap": {"claude-opus-4.8": 5.23188, "claude-sonnet-4.6": 3.18814},
    },
    "premium-4-lists": {"providers": ["gpt-5.5"], "price_cap": {"gpt-5.5": {"input": 15.0, "output": 90.0}}},
}
"""Leaders of the markets that are premium-4 with another one: list prices at the models' own mixes, and three times the
list. They are written into `folder.json` by hand."""
_BY_COMPONENT = ("premium-4-lists",)
_FLAGS = {"openrouter-40": ("--draws", "40")}
NAMES = ("premium-4", "economy-8", "coding-13", "roleplay-10", *_OTHERS, "openrouter-40")


def make(tables: Path, work: Path, names: Sequence[str]) -> None:
    """Run the commands for some markets."""
    work.mkdir()
    _command("import-openrouter", tables, "--out", work / "observed", "--part", "apps")
    _command("import-openrouter", tables, "--out", work / "components", "--part", "apps", "--components")
    for name in names:
        folder = work / "observed" / "apps" / name
        if name in _OTHERS:
            source = work / ("components" if name in _BY_COMPONENT else "observed") / "apps" / "premium-4"
            shutil.copytree(source, folder)
            _edit(folder / "folder.json", leader=_OTHERS[name])
        _command("calibrate", folder, "--out", work / name, ANCHOR, "--capacity-of-load", *_FLAGS.get(name, ()))
        (made,) = (work / name).glob(f"{name}-*.json")
        shutil.copy(made, INSTANCES / f"{name}.json")
        _edit(INSTANCES / f"{name}.json", name=name)


def _command(*arguments: object) -> None:
    if code := run(list(map(str, arguments))):
        raise SystemExit(code)


def _edit(path: Path, **fields: Any) -> None:
    document = json.loads(path.read_text(encoding="utf-8")) | fields
    path.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def table() -> None:
    """Print what instances/README.md says of the markets."""
    print("| name | users x providers | leader | price today | best price of the fit | range of best prices |", end="")
    print(" profit today | profit | proven by |")
    print("|---|---|---|---|---|---|---|---|---|")
    for name in NAMES:
        market = po.load(name)
        several = len(market.decisions) > 1
        solvers = ["branch", "gurobi", "highs"] if several else ["path", "bisect", "highs", "gurobi"]
        if market.n * market.m > 1000:  # models of that size take minutes
            solvers = solvers[:2]
        results = {solver: po.solve(market, solver=solver, gap=1e-4, time_limit=120) for solver in solvers}
        best = results[solvers[0]]
        proven = [s for s in solvers if results[s].status == "optimal" and results[s].profit > (1 - 1e-4) * best.profit]
        decided = zip(*((f"{d.today:.4g}", f"{d.value:.4g}") for d in best.decided), strict=True)
        today, price = (", ".join(values) for values in decided)
        ranges = {} if market.fit is None else market.fit.best_price_range or {}
        spans = ", ".join(f"{low:.4g} to {high:.4g}" for low, high in ranges.values())
        components = f" ({', '.join(market.components)})" if market.components else ""
        assert best.today is not None
        print(
            f"| {name} | {market.n} x {market.m} | {', '.join(market.leader_ids)}{components} | {today} | {price} "
            f"| {spans} | {best.today.profit:.6g} | {best.profit:.6g} | {', '.join(proven)} |"
        )


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description="Make the shipped real markets again, and print their figures.")
    parser.add_argument("tables", nargs="?", type=Path, help="folder of raw tables, a subfolder for each source")
    parser.add_argument("work", nargs="?", type=Path, help="a new folder for observations and fits")
    parser.add_argument("names", nargs="*", help="markets; all if not given")
    options = parser.parse_args()
    if options.tables is not None:
        make(options.tables, options.work, options.names or NAMES)
    table()


if __name__ == "__main__":
    main()
