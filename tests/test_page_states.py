"""A page's own equilibria in a real browser: random markets and sliders, over all fields of the file format."""

from __future__ import annotations

import io
import json
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import numpy as np
import pytest

from helpers.browser import complaints
from helpers.explorer import explored, opened, page_of
from helpers.sold import sold
from prillm_or.cli import run
from prillm_or.files.markets import write_market
from prillm_or.market.changes import apply
from prillm_or.market.decisions import prices_at
from prillm_or.market.market import Market
from prillm_or.market.outside import OUTSIDE, with_outside
from prillm_or.report.explorer import Explored
from prillm_or.users.certificate import profit_of
from prillm_or.users.equilibrium import equilibrium_at

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

MARKETS, STATES = 20, 10

# Go to each state by its link; the numbers behind what the page shows then.
VISIT = """
const [states, done] = arguments, shown = [];
const visit = (k) => {
  if (k === states.length) return done(shown);
  const [place, fragment] = states[k], article = document.querySelectorAll("article")[place];
  addEventListener("hashchange", () => setTimeout(() => {
    const loads = (name) => [...article.querySelectorAll(`table.${name} tbody tr`)].map((row) =>
      [row.children[0].textContent, Number(row.children[2].dataset.value)]);
    shown.push([Number(article.querySelector(".profit").value), loads("providers"), loads("users"),
      article.querySelector(".command").value]);
    visit(k + 1);
  }), { once: true });
  location.hash = fragment;
};
for (const details of document.querySelectorAll("details.state")) details.open = true;
visit(0);
"""


@dataclass(frozen=True)
class State:
    """Decisions in a market, and what else was moved."""

    place: int
    market: Market
    values: tuple[float, ...]
    moved: Mapping[str, float]

    @property
    def fragment(self) -> str:
        """What follows `#` in its link."""
        names = [f"set.{decision.name}" for decision in self.market.decisions]
        return urlencode({"market": self.market.name, **dict(zip(names, self.values, strict=True)), **self.moved})

    @property
    def changed(self) -> Market:
        """The market as it was moved."""
        change: dict[str, Any] = {}
        for name, value in self.moved.items():
            kind, _, one = name.partition(".")
            side = "users" if kind == "demand" else "providers"
            fields = change.setdefault(side, {}).setdefault(one.partition(".")[0], {})
            if kind == "price" and self.market.components:
                fields.setdefault("price", {})[one.partition(".")[2]] = value
            else:
                fields[kind] = value
        return apply(self.market, change) if change else self.market


def markets() -> list[Explored]:
    kinds: tuple[Any, ...] = (None, "components", "factor", "plain", ("output",))
    two = ("factor", "plain")
    drawn = [
        sold(seed, 2 + seed % 4, 4, leaders=1 + (kinds[seed % 5] in two and seed % 2), decides=kinds[seed % 5])
        for seed in range(MARKETS)
    ]
    return [explored(with_outside(one, 0.5) if k % 5 == 4 else one) for k, one in enumerate(drawn)]


def states_of(place: int, market: Market) -> list[State]:
    """The decisions, and, in all but the first state, some of the rest."""
    rng = np.random.default_rng([14, place])
    found = []
    for number in range(STATES):
        values = tuple((rng.random(len(market.price_cap)) * market.price_cap).tolist())
        moved: dict[str, float] = {}
        for j in market.rivals if number else ():
            name = market.provider_ids[j]
            for component in market.components or ("",):
                moved[f"price.{name}.{component}".rstrip(".")] = float(rng.uniform(0, 4))
            if market.congested and name != OUTSIDE:
                moved[f"capacity.{name}"] = float(market.capacity[j] * 10 ** rng.uniform(-1, 1))
            moved[f"value.{name}"] = float(rng.uniform(-2, 3))
        if number > 1:
            moved |= {f"demand.{u}": float(rng.uniform(0.1, 9)) for u in market.user_ids}
        found.append(State(place, market, values, moved))
    return found


@pytest.fixture(scope="module")
def visited(browser: Chrome, tmp_path_factory: pytest.TempPathFactory) -> list[tuple[State, list[Any]]]:
    """200 states and what the page shows of them."""
    shown = markets()
    part = opened(browser, page_of(shown, tmp_path_factory.mktemp("states")))
    states = [state for place, one in enumerate(shown) for state in states_of(place, one.market)]
    found = part.browser.execute_async_script(VISIT, [[state.place, state.fragment] for state in states])
    assert complaints(browser) == []
    return list(zip(states, found, strict=True))


def differences(states: Sequence[tuple[State, list[Any]]]) -> list[float]:
    """How far off the page is, relative: of the profit by all that was turned over, of loads by the demand."""
    found = []
    for state, (profit, providers, users, _) in states:
        market, values = state.changed, np.array(state.values)
        wanted, money = equilibrium_at(market, values), prices_at(market, market.decisions, values)
        own = list(market.leader)
        paid = money.reshape(market.m, -1)[own] * wanted.billed.reshape(market.m, -1)[own]
        size = float(market.demand.sum())
        found.append(abs(profit - profit_of(market, values, wanted.billed)) / max(float(paid.sum()), 1e-9 * size))
        loads = dict(zip(market.provider_ids, wanted.load.tolist(), strict=True))
        flows = dict(zip(market.user_ids, wanted.flow[:, own].sum(axis=1).tolist(), strict=True))
        for shown, right in ((dict(providers), loads), (dict(users), flows)):
            assert shown.keys() == right.keys()
            found += [abs(shown[name] - right[name]) / max(right[name], 1e-9 * size) for name in right]
    return found


def test_200_states_of_random_markets_are_those_of_the_package(visited: list[tuple[State, list[Any]]]) -> None:
    assert len(visited) == MARKETS * STATES == 200
    kinds = [state.market for state, _ in visited]
    for one in (
        lambda market: market.components,
        lambda market: market.decides == "factor",
        lambda market: not market.plain and len(market.decisions) > 1,
        lambda market: not market.congested,
        lambda market: market.dispersion.any() and market.congested,
        lambda market: (market.count > 1).any(),
        lambda market: market.user_values.size,
        lambda market: not market.common_weights,
        lambda market: (market.provider_dispersion != 1).any(),
        lambda market: OUTSIDE in market.provider_ids,
    ):
        assert 0 < sum(bool(one(market)) for market in kinds) < len(kinds)
    worst = max(differences(visited))
    print(f"worst relative difference of {len(visited)} states: {worst:.1e}")
    assert worst <= 1e-9


def test_the_command_of_a_state_reproduces_it(
    visited: list[tuple[State, list[Any]]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    for state, (profit, _, _, command) in [one for k in (0, 1, 7) for one in visited[k :: 5 * STATES]]:
        market = state.market
        write_market(market, f"{market.name}.json")
        words = shlex.split(command)
        if words[0] == "prillm-or":
            assert run([*words[1:], "--json", "-"]) == 0
            found = json.loads(capsys.readouterr().out)["profit"]
        else:
            bar = words.index("|")
            assert (words[0], words[1], words[bar + 1 : bar + 3]) == ("printf", "%s\\n", ["prillm-or", "watch"])
            stdin = io.TextIOWrapper(io.BytesIO("\n".join(words[2:bar]).encode()))
            with monkeypatch.context() as patch:
                patch.setattr(sys, "stdin", stdin)
                run(words[bar + 2 :])
            found = json.loads(capsys.readouterr().out.splitlines()[-1])["today"]["profit"]
        assert found == pytest.approx(profit, rel=1e-9, abs=1e-9)
