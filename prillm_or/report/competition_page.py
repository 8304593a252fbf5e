"""Page of a competition: prices at which no owner gains by moving, and what an owner could do there, as sliders."""

from __future__ import annotations

from dataclasses import replace

from prillm_or.competition.competition import Competition
from prillm_or.competition.game import Game
from prillm_or.output.numbers import percent
from prillm_or.output.tables import Table
from prillm_or.report.explorer import Beside, Explored, explore, explorer_page


def competition_page(game: Game, note: str = "") -> str:
    """Fill `explorer.html.jinja` with the present and what a change makes of it, side by side.

    Each market is one owner's, that of the leader where it has one: the others ask what they ask where no owner gains,
    or, where nothing settled, at the prices nearest to that.
    """
    told = [part for part in game.parts(note) if isinstance(part, (str, Table)) and part]
    sides = {name: one for name, one in (("present", game.before), ("what if", game.after)) if one is not None}
    told += [
        f"{name}: the platform keeps {percent(one.setting.fee)} of revenue. Profits below are before that, at unit "
        "costs that are as much higher."
        for name, one in sides.items()
        if one.setting.fee
    ]
    markets = [_seat(name, one) for name, one in sides.items()]
    return explorer_page(markets, Beside("Prices at which no owner gains by moving", told))


def _seat(name: str, found: Competition) -> Explored:
    """The market as the leader's owner sees it there."""
    setting, market = found.setting, found.setting.market
    standing = found.first or (None if found.nearest is None else found.nearest.standing)
    decisions = setting.start() if standing is None else standing.decisions
    leading = [k for k, owner in enumerate(setting.owners) if market.leader_ids[0] in owner.providers]
    seat = setting.seat(leading[0] if leading else 0, decisions)
    return replace(explore(replace(seat, name=f"{name}: {', '.join(seat.leader_ids)}", fit=None)), source="")
