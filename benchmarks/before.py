"""Times of version 0.1.0 on today's markets, by the Python of an environment that it is installed in (`--before`).

    git worktree add ../before 31e0ce7 && python -m venv ../env && ../env/bin/pip install ../before[scip]

with the same releases of the solvers as here. Version 0.1.0 knows no values of users' own: they are written into delays
that cost the same. It knows no price lists, crowds or tastes at all.
"""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from prillm_or.files.markets import write_market
from prillm_or.market.market import Market

_SCRIPT = """
import json, sys, time
from statistics import median
from prillm_or.files import read_market
from prillm_or.solve import solve
from prillm_or.solvers.base import Limits
file, solver, limit, repeats = sys.argv[1], sys.argv[2], float(sys.argv[3]), int(sys.argv[4])
market, seconds = read_market(file).market, []
solve(market, solver=solver, model="kkt-bigm", limits=Limits(1e-4, 0.5, 1, 0))  # for imports
for _ in range(repeats):
    began = time.process_time()
    solve(market, solver=solver, model="kkt-bigm", limits=Limits(1e-4, limit, 1, 0))
    seconds.append(time.process_time() - began)
    if seconds[-1] > 5:
        break
print(json.dumps(median(seconds)))
"""


def full_seconds(python: Path, market: Market, solver: str, limit: float, repeats: int) -> float | None:
    """Processor time of `solve` by `kkt-bigm` in version 0.1.0, a median; None of a market that it does not know."""
    if market.components or (market.count != 1).any() or market.pair_dispersion.any():
        return None
    with TemporaryDirectory() as folder:
        file = Path(folder) / "market.json"
        write_market(_plain(market), file)
        command = [str(python), "-I", "-c", _SCRIPT, str(file), solver, str(limit), str(repeats)]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    return float(json.loads(done.stdout)) if done.returncode == 0 else None


def _plain(market: Market) -> Market:
    """The same market without values of users' own."""
    cost = market.delay_weight[:, None] * market.delay - market.worth
    value = -cost.min(axis=0)
    delays = {"delay": cost + value, "delay_weight": np.ones(market.n)}
    return replace(market, value=value, user_values=np.empty((0, 0)), fit=None, **delays)
