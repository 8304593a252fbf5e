"""What a page of a market holds, and what is refused."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helpers.answers import profit_at
from helpers.explorer import explored
from helpers.markets import draw_market, make_market, shipped
from helpers.sold import sold
from prillm_or.cli import run
from prillm_or.errors import CombinationError
from prillm_or.files.markets import write_market
from prillm_or.market.changes import apply
from prillm_or.market.fit_note import FitNote
from prillm_or.market.market import Market
from prillm_or.report.explorer import explore, explorer_page
from prillm_or.report.explorer_data import document, market_data, named_providers, named_users
from prillm_or.solving.recheck import decided_in
from prillm_or.solving.run import solve


def test_all_figures_of_a_market_are_in_its_page() -> None:
    market = sold(30, 5, 4, decides="factor")
    data = market_data(market)
    json.dumps(data, allow_nan=False)
    fields = {
        "demand": market.demand,
        "mix": market.mix,
        "price": market.price,
        "cost": market.unit_cost,
        "spread": market.provider_dispersion,
        "congestionWeight": market.congestion_weight,
        "delay": market.delay,
    }
    for name, values in fields.items():
        np.testing.assert_array_equal(data[name], values)
    assert data["factors"]
    plain = market_data(draw_market("weights", 3, 4, 1, leaders=2))
    assert (np.shape(plain["price"]), np.shape(plain["mix"])) == ((4, 1), (3, 1))
    assert [one["provider"] for one in plain["decisions"]] == [2, 3]


def test_sliders_end_where_nothing_happens_any_more_and_show_what_the_data_leave_open() -> None:
    market = replace(shipped("coding-13"), price_cap=np.array([50.0]))
    one = explored(market)
    (slider,) = document(market, decided_in(market, one.result), [], one.ranges)["sliders"]
    assert market.today is not None
    assert 1.2 * float(market.today[0]) < slider["high"] < slider["cap"] == 50.0
    assert market.fit is not None
    assert market.fit.best_price_range is not None
    assert slider["range"] == market.fit.best_price_range["step-3.7-flash"]
    page = explorer_page([one])
    assert "ends at" in page
    assert "little happens from there up to the cap of 50" in page


def test_the_first_sentence_is_from_today_to_the_best_and_warnings_follow() -> None:
    page = explorer_page([explored(shipped("coding-13"))])
    text = re.sub(r"<style>.*?</style>|<script.*?</script>", "", page, flags=re.S)
    said = [line for line in re.sub("<[^>]+>", "", text).split("\n") if line.strip()]
    at = said.index("coding-13")
    moved = "price of step-3.7-flash 0.09045 → 0.08702; profit 13.94 → 13.96 1000 USD a day (+0.156 %)."
    assert said[at + 1] == f"Today → best: {moved}"
    assert said[at + 2].startswith(
        "Try prices, do not settle on one: the data leave the best price of step-3.7-flash open"
    )


def test_prices_that_stay_are_said_to() -> None:
    market = shipped("tiny/two-prices")
    best = solve(market).prices
    stays = apply(market, {"providers": {name: {"price": price} for name, price in best.items()}})
    page = explorer_page([explored(stays)])
    assert f"Today → best: price of plain stays at {best['plain']:.4g}; price of better stays at" in page


def test_without_prices_today_there_is_the_best_alone() -> None:
    market = make_market(price=[np.nan, 2.0, 3.0])
    page = explorer_page([explored(market)])
    assert "Best: price of p1 " in page
    assert '"today":null' in page


def test_of_many_the_largest_are_named() -> None:
    market = draw_market("heavy", 60, 50, 2)
    best = market.price_cap / 3
    users, providers = named_users(market, best), named_providers(market, best)
    assert (len(users), len(providers)) == (40, 41)
    assert providers[0] == market.leader[0]
    left = set(range(60)) - set(users)
    assert max(market.demand[list(left)]) <= market.demand[users].max()
    assert len(named_users(draw_market("heavy", 41, 5, 2), best)) == 41  # rather than a single one left over


def test_too_many_pairs_are_refused_before_anything_is_solved() -> None:
    market = make_market(user_ids=tuple(f"u{i}" for i in range(40_000)), demand=np.ones(40_000))
    with pytest.raises(CombinationError, match="40,000 users by 3 providers are 120,000 pairs, too many for a page"):
        explore(market)


def test_a_range_of_a_decision_that_the_file_does_not_name_is_none() -> None:
    one = explored(replace(shipped("tiny/two-prices"), fit=FitNote(best_price_range={"plain": (1.0, 2.0)})))
    sliders = document(one.market, np.array([3.0, 3.0]), [], one.ranges)["sliders"]
    assert [slider["range"] for slider in sliders] == [(1.0, 2.0), None]


def fit_of(market: Market, **fields: Any) -> dict[str, Any]:
    """The fit.json of a market, as far as a page reads it."""
    return {
        "format": "prillm-or/fit@1",
        "weights": {"congestion": 1.0, "delay": 0.0},
        "values": dict.fromkeys(market.provider_ids, 1.0),
        "users": {name: {} for name in market.user_ids},
        "profile": {"elasticity": [-2.0, -1.0, -0.5], "misfit": [0.2, 0.1, 0.1], "best_price": [3.0, 3.5, None]},
        "elasticity_range": [-1.0, -0.5],
        "best_price_range": [3.25, 4.75],
    } | fields


@pytest.mark.slow
def test_with_a_fit_its_profile_and_its_range_of_best_prices_are_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    market, fit, out = shipped("tiny/kink"), tmp_path / "fit.json", tmp_path / "page.html"
    fit.write_text(json.dumps(fit_of(market)))
    assert run(["page", "tiny/kink", "--fit", str(tmp_path), "--out", str(out)]) == 0
    text = out.read_text("utf-8")
    assert "What the fit leaves open" in text
    assert text.count("own-price elasticity") >= 4  # two pictures in two widths
    assert '"range":[3.25,4.75]' in text
    capsys.readouterr()
    profile = fit_of(market)["profile"]
    for fields, said in (
        ({"values": {"else": 1.0}}, "of other users, providers or decisions"),
        ({"users": {"else": {}}}, "of other users, providers or decisions"),
        ({"profile": profile | {"best_price": {"a": [1.0] * 3, "b": [1.0] * 3}}}, "of other users"),
        ({"profile": profile | {"misfit": [0.1]}}, "columns of one length"),
        ({"profile": None}, "the fit has no profile"),
    ):
        fit.write_text(json.dumps(fit_of(market, **fields)))
        assert run(["page", "tiny/kink", "--fit", str(fit), "--out", str(out)]) == 2
        assert said in " ".join(capsys.readouterr().err.split())
    assert run(["page", "tiny/kink", "tiny/tie", "--fit", str(fit), "--out", str(out)]) == 2
    assert "give one instance, not 2" in capsys.readouterr().err


def test_scenarios_stand_side_by_side(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    change, out = tmp_path / "change.json", tmp_path / "page.html"
    change.write_text('{"providers": {"rival": {"price": 4.0}}}')
    flags = ["--scenario", f"dear={change}", "--scenario", f"also={change}", "--out", str(out)]
    assert run(["page", "tiny/one-rival", *flags]) == 0
    text = out.read_text("utf-8")
    assert text.count("<article") == 3
    market, other = shipped("tiny/one-rival"), apply(shipped("tiny/one-rival"), json.loads(change.read_text()))
    best, then = solve(market), solve(other)
    kept = profit_at(other, [best.price])
    assert kept < then.profit
    rows = re.findall(r"<tr>(.*?)</tr>", text[text.index("Scenarios side by side") :], re.S)
    cells = [re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", row) for row in rows[:6]]
    assert cells[0] == ["", "present", "dear", "also"]
    assert cells[1][1:] == [f"{value:.5g}" for value in (best.price, then.price, then.price)]
    assert cells[2][1:3] == [f"{value:.5g}" for value in (best.profit, then.profit)]
    assert cells[3][1:3] == [f"{value:.5g}" for value in (best.profit, kept)]
    assert '"before":["{\\"providers\\": {\\"rival\\": {\\"price\\": 4.0}}}"]' in text
    capsys.readouterr()
    for text, said in (("dear", "expected NAME=FILE"), ("dear=none.json", "cannot be read")):
        assert run(["page", "tiny/one-rival", "--scenario", text, "--out", str(out)]) == 2
        assert said in capsys.readouterr().err
    assert run(["page", "tiny/one-rival", *flags[:2], *flags[:2], "--out", str(out)]) == 2
    assert "several of this name" in capsys.readouterr().err
    change.write_text('{"providers": {"riwal": {"price": 4.0}}}')
    assert run(["page", "tiny/one-rival", *flags]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "change.json" in said.replace(" ", "")
    assert "riwal" in said


def test_the_command_writes_the_page_or_says_why_not(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "page.html"
    assert run(["page", "tiny/kink", "tiny/two-prices", "--out", str(out)]) == 0
    assert capsys.readouterr().out.split() == ["written:", str(out)]
    text = out.read_text(encoding="utf-8")
    assert text.count("<article") == 2
    write_market(replace(shipped("tiny/kink"), name="mine"), tmp_path / "mine.json")
    assert run(["page", str(tmp_path / "mine.json"), "--out", str(out)]) == 0
    assert "Price explorer: mine" in out.read_text(encoding="utf-8")
    assert run(["page", "tiny/kink", "--outside", "-0.5", "--out", str(out)]) == 0
    assert "outside is a rival of value -0.5" in out.read_text(encoding="utf-8")
    before = out.read_bytes()
    for instances, target, said in (
        (["nothing-like-it"], out, "there is none of that name"),
        (["tiny/kink"], tmp_path / "page.htm", "ends in .html"),
        (["tiny/kink"], tmp_path / "none" / "page.html", "does not exist"),
    ):
        assert run(["page", *instances, "--out", str(target)]) == 2
        assert said in capsys.readouterr().err
    assert out.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine.json", "page.html"]
