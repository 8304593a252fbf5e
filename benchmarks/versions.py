"""Whole calls, against version 0.1.0: what a user waits for.

`--before PYTHON` names the Python of an environment that holds that version, commit 31e0ce7. Each version has a
process of its own and computes the same markets, in turns; a time is the least of several, by processor time, so that
a busy machine counts little. Ratios are by market. Today's profit and the warnings of a result are worked out when they
are read, hence `solve` alone and with all of its result read.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from benchmarks.markets import sample, size
from benchmarks.report import Table, Target, span, target_table
from prillm_or.files.markets import write_market
from prillm_or.market.market import Market
from prillm_or.market.synthetic import generate

# What both versions run: a line for a market comes in, one of seconds goes out.
_CHILD = """
import json, sys, time, warnings
try:
    from prillm_or.explanation.derive import explain
    from prillm_or.files.markets import read_market
    from prillm_or.solving.pricer import Pricer
    from prillm_or.solving.run import solve
except ImportError:  # the layout of version 0.1.0
    from prillm_or.explanation.explain import explain
    from prillm_or.files import read_market
    from prillm_or.pricer import Pricer
    from prillm_or.solve import solve

warnings.simplefilter("ignore")

def update(market):
    pricer, turns = Pricer(market), 0
    rival = next(j for j in range(len(market.provider_ids)) if j not in market.leader)
    name, price = market.provider_ids[rival], float(market.price[rival])
    def act():
        nonlocal turns
        turns += 1
        pricer.update({"providers": {name: {"price": (1.01 + 0.02 * (turns % 2)) * price}}})
    return act

def read(result):
    return [getattr(result, name) for name in result.__dataclass_fields__]

DO = {
    "solve": lambda market: lambda: solve(market),
    "solve, all read": lambda market: lambda: read(solve(market)),
    "update": update,
    "explain": lambda market: lambda: explain(market),
}
for line in sys.stdin:
    what, file, times = json.loads(line)
    act, least = DO[what](read_market(file).market), float("inf")
    for _ in range(times):
        began = time.process_time()
        act()
        least = min(least, time.process_time() - began)
    print(json.dumps(least), flush=True)
"""


@dataclass(frozen=True)
class Plan:
    """An action, the size of its markets, seeds of each shape, turns on each, times in a turn, the ratio aimed at."""

    what: str
    users: int
    providers: int
    seeds: int
    turns: int
    times: int
    target: float


_PLANS = (
    Plan("solve", 8, 13, 10, 5, 6, 10.0),
    Plan("solve", 20, 20, 10, 5, 6, 8.0),
    Plan("update", 20, 20, 10, 5, 6, 3.0),
    Plan("solve, all read", 8, 13, 10, 5, 6, 10.0),
    Plan("solve, all read", 20, 20, 10, 5, 6, 8.0),
    Plan("explain", 20, 20, 10, 2, 1, 3.0),
    Plan("explain", 200, 100, 1, 1, 1, 3.0),
)


@dataclass(frozen=True)
class Row:
    """Medians over the markets of a size."""

    what: str
    size: str
    markets: int
    before_ms: float
    now_ms: float
    ratio: float
    range: str


def measure(quick: bool, before: Path | None) -> Iterator[Table]:
    """Times by action and size, then the targets; nothing where version 0.1.0 is not at hand."""
    if before is None:
        return
    rows, targets = [], []
    with _running(str(before), "-I") as earlier, _running(sys.executable) as now:
        for plan in _PLANS[:3] if quick else _PLANS:
            markets = sample(plan.users, plan.providers, plan.seeds)
            for child in (earlier, now):
                _asked(child, plan, generate(5, 4))  # for imports
            times = [
                _least((_asked(earlier, plan, one), _asked(now, plan, one)) for _ in range(plan.turns))
                for one in markets
            ]
            ratios = [one / other for one, other in times]
            before_ms, now_ms = (1e3 * median(each) for each in zip(*times, strict=True))
            where = size(markets[0])
            rows.append(Row(plan.what, where, len(times), before_ms, now_ms, median(ratios), span(ratios)))
            figure = f"{plan.what} {where}: version 0.1.0 / this one"
            targets.append(Target(figure, median(ratios), plan.target, at_least=True, range=span(ratios)))
    yield Table("versions", rows)
    yield target_table(targets)


def _least(times: Iterable[tuple[float, float]]) -> tuple[float, float]:
    earlier, now = zip(*times, strict=True)
    return min(earlier), min(now)


@contextmanager
def _running(*python: str) -> Iterator[subprocess.Popen[str]]:
    """A process that computes with what a Python finds."""
    with subprocess.Popen([*python, "-c", _CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        yield child
        child.communicate()


def _asked(child: subprocess.Popen[str], plan: Plan, market: Market) -> float:
    """Seconds of an action on a market."""
    assert child.stdin is not None
    assert child.stdout is not None
    with TemporaryDirectory() as folder:
        file = Path(folder) / "market.json"
        write_market(market, file)
        child.stdin.write(json.dumps([plan.what, str(file), plan.times]) + "\n")
        child.stdin.flush()
        return float(json.loads(child.stdout.readline()))
