"""prillm-or explain: why the best price is the best one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from prillm_or.cli.common import (
    Json,
    OneInstance,
    Outside,
    Plot,
    Verbose,
    check_plot,
    console,
    number,
    outside_field,
    outside_note,
    progress,
    read_instance,
    save,
    table,
)

if TYPE_CHECKING:
    from prillm_or.explanation.explanation import Explanation

_MOST_ROWS = 50


def command(
    instance: OneInstance,
    plot: Plot = None,
    outside: Outside = None,
    json: Json = None,
    verbose: Verbose = False,
) -> int:
    """Explain the best price: what it earns and from whom, who would come or go, which rivals matter and by how much.

    Effects are exact: the market is solved anew with each user's demand and each rival's price, capacity and value 1 %
    higher; --plot draws the largest.

    \b
    Example:
      prillm-or explain coding-13 --json why.json --plot effects.svg
    """
    from prillm_or.explanation.derive import explain
    from prillm_or.explanation.explanation import explanation_to_json
    from prillm_or.explanation.words import sentences

    check_plot(plot)
    market = read_instance(instance, outside).market
    with progress(instance, verbose=verbose):
        found = explain(market)
    if json != "-":
        screen = console()
        screen.print(f"{market.name}{outside_note(outside)}: why {found.provider} at {number(found.price)}\n")
        for sentence in sentences(found, market.units):
            screen.print(f"* {sentence}")
        _show(found)
    save(explanation_to_json(found) | outside_field(outside), json)
    if plot is not None:
        from prillm_or.explanation.effects_plot import effects_height, plot_effects
        from prillm_or.output.plots import save_plot

        save_plot(plot, partial(plot_effects, explanation=found, units=market.units), effects_height(found))
    return 0


def _show(found: Explanation) -> None:
    """Tables of users, by what they bring, of rivals, by how much they matter, and of local maxima."""
    from prillm_or.explanation.effects import RIVAL_KEYS

    screen = console()
    users = [
        (
            user.id,
            number(user.load, 4),
            number(user.profit, 4),
            str(user.state),
            number(user.leaves_at, 4),
            number(user.joins_at, 4),
            _effect(user.profit_effect, "demand"),
        )
        for user in sorted(found.users, key=lambda user: -user.load)
    ]
    screen.print(
        table(
            "\nusers; last: change of the best profit with 1 % more demand",
            ("user", "load", "profit", "state", "leaves at", "joins at", "demand"),
            _cut(users),
            right=("load", "profit", "leaves at", "joins at", "demand"),
        )
    )
    rivals = [
        (
            rival.id,
            number(rival.load, 4),
            " - ".join(rival.chain[1:-1]) or "-",
            *(_effect(rival.profit_effect, key) for key in RIVAL_KEYS),
        )
        for rival in sorted(found.rivals, key=lambda rival: -rival.largest_effect)
    ]
    screen.print(
        table(
            "rivals; last three: change of the best profit with 1 % more of each",
            ("rival", "load", "tied by", *RIVAL_KEYS),
            _cut(rivals),
            right=("load", *RIVAL_KEYS),
        )
    )
    maxima = [(number(one.price), number(one.load), number(one.profit)) for one in found.local_maxima]
    columns = ("price", "load", "profit")
    screen.print(table("local maxima, best first", columns, maxima, right=columns))


def _cut(rows: Sequence[tuple[str, ...]]) -> Sequence[tuple[str, ...]]:
    """The first rows, and how many are left to `--json`."""
    if len(rows) <= _MOST_ROWS:
        return rows
    rest = (f"and {len(rows) - _MOST_ROWS} more: --json", *[""] * (len(rows[0]) - 1))
    return [*rows[:_MOST_ROWS], rest]


def _effect(effect: Mapping[str, float] | None, key: str) -> str:
    return "-" if effect is None else f"{effect[key]:+.3g}"
