"""prillm-or validate: check market files, and nothing else."""

from __future__ import annotations

from prillm_or.cli.common import Instances, console, read_instance, report
from prillm_or.errors import PrillmError


def command(instances: Instances) -> int:
    """Check market files; every fault of every file is listed.

    \b
    Example:
      prillm-or validate instances/*.json
    """
    code = 0
    for name in instances:
        try:
            instance = read_instance(name)
        except PrillmError as error:
            report(error)
            code = 2
            continue
        market = instance.market
        line = f"{instance.path}: valid, {market.n} users, {market.m} providers, leader {', '.join(market.leader_ids)}"
        console().print(line)
    return code
