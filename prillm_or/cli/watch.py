"""prillm-or watch: changes of a market in on standard input, new prices out, a JSON line each."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import IO, TYPE_CHECKING, Any

from prillm_or.cli.common import OneInstance, Outside, exit_code, outside_field, read_instance
from prillm_or.cli.streams import report
from prillm_or.errors import ConvergenceError, FaultsError, with_flags
from prillm_or.files.markets import MarketFile
from prillm_or.market.outside import OUTSIDE, without_delay
from prillm_or.result import Result

if TYPE_CHECKING:
    from prillm_or.solving.pricer import Pricer

_LONGEST = 2**20


def command(instance: OneInstance, outside: Outside = None) -> int:
    """Keep a price up to date: read changes of the market from standard input, one JSON object a line, and answer each.

    The first line written is the result for the market as it is; then each change gets one line: the result for the
    changed market, or {"error": [FAULT, ...], "line": N} if the change is refused. A refused change changes nothing.
    Everything in a line happens together; what an object leaves out stays. Results are those of `solve --json`, proven
    anew each time; `instance_sha256` is null after a change, as no file holds that market. Blank lines are skipped.

    \b
    What a line may hold, ids and units as in the market file:
      {"providers": {"ID": {"price": 2.0, "capacity": 130, "value": 2.4, "unit_cost": 0.1}}}
      {"providers": {"ID": {"price": {"output": 12.0}, "unit_cost": {"output": 3.0}, "dispersion": 1.5}}}
      {"users": {"ID": {"demand": 45.0, "weights": {"congestion": 1.2}, "count": 900, "dispersion": 0.8}}}
      {"users": {"ID": {"mix": {"output": 0.05}, "values": {"PROVIDER": 2.4}}}}
      {"delays": {"USER": {"PROVIDER": 0.7}}, "price_cap": 12.0}
      {"add": {"providers": [{"id": "ID", "price": 2.0, "capacity": 90, "delays": {"USER": 0.7, ...}}]}}
      {"add": {"users": [{"id": "ID", "demand": 10.0, "delays": 0.7}]}}
      {"remove": {"providers": ["ID"], "users": ["ID"]}}

    With --outside a rival `outside` is there, which may change or leave like any other; users who come have no delay to
    it unless a line says so.

    Exit codes, the worst of all lines, when the input ends: 0 every change was taken, 1 a gap stayed open, 2 a change
    was refused or the market it makes could not be priced, 3 a method failed (status `error`); 130 after Ctrl-C.

    \b
    Example:
      echo '{"providers": {"rival": {"price": 2.5}}}' | prillm-or watch tiny/one-rival
    """
    from prillm_or.solving.pricer import Pricer

    began = time.perf_counter()
    file = read_instance(instance, outside)
    read_s = time.perf_counter() - began
    pricer = Pricer(file.market)
    code = exit_code(pricer.result.status)
    try:
        _write(_document(_first(pricer.result, file, read_s), pricer, outside))
        for number, line in _lines(sys.stdin.buffer):
            code = max(code, _answer(pricer, number, line, outside))
    except KeyboardInterrupt:
        report("interrupted")
        return 130
    return code


def _first(result: Result, file: MarketFile, read_s: float) -> Result:
    """The result for the market of a file, which it names."""
    times = replace(result.time_s, total=result.time_s.total + read_s, read=read_s)
    return replace(result, instance_sha256=file.sha256, time_s=times)


def _answer(pricer: Pricer, number: int, line: bytes, outside: float | None) -> int:
    """Answer one line, and return the exit code it calls for."""
    from prillm_or.files.changes import read_change

    try:
        if len(line) > _LONGEST:
            raise FaultsError("change", [f"expected a line of at most {_LONGEST} bytes; give the change in parts"])
        change = read_change(line)
        result = pricer.update(change if outside is None else without_delay(change, pricer.market))
        document = _document(result, pricer, outside)
    except FaultsError as refusal:
        _write({"error": [with_flags(problem) for problem in refusal.problems], "line": number})
        return 2
    except ConvergenceError as failure:
        _write({"error": [with_flags(failure.message)], "line": number})
        return 2
    _write(document)
    return exit_code(result.status)


def _document(result: Result, pricer: Pricer, outside: float | None) -> dict[str, Any]:
    """The result as JSON holds it, with the value of the outside option by now, if it was asked for and is left."""
    market = pricer.market
    if outside is None or OUTSIDE not in market.provider_ids:
        return result.to_dict()
    return result.to_dict() | outside_field(float(market.value[market.provider_ids.index(OUTSIDE)]))


def _lines(stream: IO[bytes]) -> Iterator[tuple[int, bytes]]:
    """Lines that are not blank, with their numbers; of one too long, no more than shows that it is."""
    number = 0
    while line := stream.readline(_LONGEST + 1):
        number += 1
        rest = line
        while len(rest) > _LONGEST and not rest.endswith(b"\n"):
            rest = stream.readline(_LONGEST + 1)
        if line.strip():
            yield number, line


def _write(document: dict[str, Any]) -> None:
    print(json.dumps(document, allow_nan=False), flush=True)
