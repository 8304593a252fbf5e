"""Markets solved by hand, and what a price or a proposal earns at an equilibrium solved afresh."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache

import numpy as np
from numpy.typing import ArrayLike

from helpers.markets import shipped
from prillm_or.files.names import find
from prillm_or.limits import Limits
from prillm_or.market.market import Array, Market
from prillm_or.result import Method, Result
from prillm_or.solvers.protocols import Ended, Proposal
from prillm_or.solving.judge import judge
from prillm_or.users.certificate import profit_of
from prillm_or.users.equilibrium import equilibrium_at
from prillm_or.users.problem import user_problem


@dataclass(frozen=True)
class HandAnswer:
    """What `instances/tiny/README.md` derives for one of its markets; several numbers are in the leader's order."""

    market: Market
    prices: tuple[Fraction, ...]
    profit: Fraction
    loads: tuple[Fraction, ...]


@cache
def hand_answers() -> Mapping[str, HandAnswer]:
    """The markets solved by hand, by name."""
    readme = find("instances", "tiny/one-rival").with_name("README.md")
    lines = readme.read_text(encoding="utf-8").splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    return {
        name: HandAnswer(shipped(f"tiny/{name}"), _fractions(prices), Fraction(profit), _fractions(loads))
        for name, prices, profit, loads in cells[2:]
    }


def answers_of_one_price() -> Mapping[str, HandAnswer]:
    """Those of leaders who set one price."""
    return {name: answer for name, answer in hand_answers().items() if len(answer.prices) == 1}


def _fractions(text: str) -> tuple[Fraction, ...]:
    return tuple(Fraction(part) for part in text.split())


def profit_at(market: Market, prices: Array | Sequence[float]) -> float:
    """The leader's profit at the equilibrium of its prices."""
    return profit_of(market, prices, equilibrium_at(market, prices).billed)


def turnover(market: Market) -> float:
    """The largest amount of money in play: what rounding is measured by."""
    return float((market.price_cap.max() + market.unit_cost.max()) * market.demand.sum())


def judged(market: Market, proposal: Proposal) -> tuple[float, float]:
    """Profit of the prices proposed, and the bound proposed."""
    assert proposal.prices is not None
    assert proposal.upper_bound is not None
    return profit_at(market, proposal.prices), proposal.upper_bound


def prices_claimed_without_bound(proposal: Proposal) -> Array:
    """Prices of a search that ended by itself and proves nothing."""
    assert proposal.ended is Ended.FINISHED
    assert proposal.upper_bound is None
    assert proposal.prices is not None
    return proposal.prices


def price_and_expected_profit(proposal: Proposal) -> tuple[float, float]:
    """Price of a method that solves a model of its own, and the profit that the model expects of it."""
    (price,) = prices_claimed_without_bound(proposal)
    assert "reconstruction" in proposal.notes[0]
    return float(price), proposal.stats["expected_profit"]


def result_at(market: Market, decisions: ArrayLike) -> Result:
    """What a heuristic that proposes these decisions answers."""
    proposal = Proposal(np.array(decisions, dtype=np.float64), None, Ended.FINISHED)
    return judge(market, user_problem(market), proposal, Method("grid", "0"), Limits())
