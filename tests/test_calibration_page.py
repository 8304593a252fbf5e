"""The page of a calibration: its figures are those of the calibration, and it fits into a real browser."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from html import escape, unescape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import prillm_or as po
from helpers.browser import assert_needs_no_network, complaints, cut_off, open_page, pictures_shown, too_wide
from helpers.calibration import alike, observations_of
from helpers.calibration import observed as seen_of
from prillm_or import __version__
from prillm_or.calibration.bootstrap import bootstrap
from prillm_or.calibration.calibration import OURS, Calibration, MethodScores
from prillm_or.calibration.days import Days, days_of, independent_flows
from prillm_or.calibration.elasticities import own_price_elasticities
from prillm_or.calibration.fit import fit_days
from prillm_or.calibration.holdout import hold_out_cells, hold_out_days
from prillm_or.calibration.identifiability import Identifiability, identifiability
from prillm_or.calibration.observations import Observations
from prillm_or.calibration.parameters import parameters_of
from prillm_or.calibration.preferences import predicted_flows
from prillm_or.calibration.scores import scores
from prillm_or.calibration.shrinkage import ShrinkageChoice
from prillm_or.calibration.specification import Specification
from prillm_or.market.market import Array, Mask
from prillm_or.market.synthetic import generate
from prillm_or.report.calibration_page import calibration_page
from prillm_or.report.calibration_pictures import MOST, flow_picture, mean_residuals

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

ODD = '<b>&"x"'
LONG = "a provider with a name that is far too long for any picture $x$ 日本語"


def observed(n: int, m: int, days: int, seed: int = 1) -> Observations:
    """Flows of several days by known common preferences, with 5 % noise; odd names, and a provider out for a day."""
    random, market = np.random.default_rng(seed), generate(n, m, "uniform", seed)
    offered = np.ones((days, m), dtype=bool)
    offered[0, m - 1] = days == 1
    shown = Days(
        price=market.price * random.uniform(0.8, 1.25, (days, m)),
        capacity=np.tile(market.capacity, (days, 1)),
        delay=market.delay * random.uniform(0.8, 1.25, (days, n, m)),
        demand=market.demand * random.uniform(0.5, 1.5, (days, n)),
        offered=offered,
        flow=np.zeros((days, n, m)),
        train=np.ones((days, n, m), dtype=bool),
    )
    truth = replace(
        alike(n, market.value - market.value.min(), congestion=1.2, delay=0.5),
        user_ids=(ODD, *market.user_ids[1:]),
        provider_ids=(LONG, *market.provider_ids[1:]),
    )
    return observations_of(
        predicted_flows(truth, shown) * random.uniform(0.95, 1.05, (days, n, m)),
        name="apps <i>",
        user_ids=truth.user_ids,
        provider_ids=truth.provider_ids,
        price=np.where(offered, shown.price, np.nan),
        capacity=np.where(offered, shown.capacity, np.nan),
        delay=shown.delay,
    )


def calibrated(
    observations: Observations,
    held: Mask | None = None,
    holdout: str = "",
    specification: Specification | None = None,
    draws: int = 0,
) -> Calibration:
    """A calibration by the parts that make one."""
    held = np.zeros(observations.flow.shape, dtype=bool) if held is None else held
    days = days_of(observations, observations.cells & ~held)
    users, providers = observations.user_ids, observations.provider_ids
    fit = fit_days(days, parameters_of(specification or Specification(), days, users, providers, "test"), 0.03)
    flow = predicted_flows(fit.preferences, days)
    return Calibration(
        observations=observations,
        fit=fit,
        choice=ShrinkageChoice(0.03, {1.0: 0.31234, 0.03: 0.71239}),
        held_out=held,
        holdout=holdout,
        flow=flow,
        scores={
            OURS: scored(days, held, flow),
            "independence": scored(days, held, independent_flows(days)),
            "trees": MethodScores(None, None, None, 0.0, "needs <10> days"),
        },
        intervals=bootstrap(fit, draws) if draws else None,
        identifiability=identifiability(fit),
        elasticity=own_price_elasticities(fit.preferences, days),
        findings=("Delays hardly react to load & more.", "Nothing else."),
    )


def scored(days: Days, held: Mask, flow: Array) -> MethodScores:
    judged = scores(days.flow, flow, days.demand, held) if held.any() else None
    return MethodScores(scores(days.flow, flow, days.demand, days.train), judged, judged, 1.234)


@pytest.fixture(scope="module")
def calibration() -> Calibration:
    observations = observed(5, 6, 7)
    return calibrated(observations, hold_out_cells(observations, 0.2), "cells:0.2", draws=5)


@pytest.fixture(scope="module")
def page(calibration: Calibration) -> str:
    return calibration_page(calibration)


def tables(page: str) -> list[list[list[str]]]:
    """The cells of every table, its headings first."""
    found = [
        re.findall(r"<tr>(.*?)</tr>", table, re.DOTALL) for table in re.findall(r"<table.*?</table>", page, re.DOTALL)
    ]
    return [
        [[unescape(cell) for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row)] for row in rows] for rows in found
    ]


def table(page: str, first: str) -> dict[str, dict[str, str]]:
    """The table whose first heading is `first`: by first cell and heading."""
    for rows in tables(page):
        headings = next((row for row in rows if row[0] == first), None)
        if headings is not None:
            return {row[0]: dict(zip(headings, row, strict=True)) for row in rows[rows.index(headings) + 1 :]}
    raise AssertionError(f"no table of {first}")


def column(row: dict[str, str], start: str) -> str:
    (found,) = [cell for heading, cell in row.items() if heading.startswith(start)]
    return found


def test_the_title_says_what_was_fitted_to_what(calibration: Calibration, page: str) -> None:
    seen, held = int(calibration.fit.days.train.sum()), int(calibration.held_out.sum())
    for said in (
        "<h1>Calibration of apps &lt;i&gt;</h1>",
        "2026-07-01 to 2026-07-07 (7 days); 5 users, 6 providers",
        f"{seen} cells seen, {held} held out (cells:0.2)",
        "fitted: common preferences; shrinkage 0.03, chosen by cross-validation",
        "<li>Delays hardly react to load &amp; more.</li>",
        f"prillm-or {__version__}",
    ):
        assert said in page


def test_scores_are_those_of_the_calibration(calibration: Calibration, page: str) -> None:
    (rows,) = [rows for rows in tables(page) if rows[1][:1] == ["method"]]
    assert rows[0] == ["", "cells seen", "cells held out", ""]
    assert [row[0] for row in rows[2:]] == list(calibration.scores)
    for row, found in zip(rows[2:], calibration.scores.values(), strict=True):
        if found.in_sample is None or found.held_out is None or found.held_out_rest is None:
            assert row[1:] == ["-"] * 10
            continue
        parts = (found.in_sample, found.held_out)
        wanted = [value for s in parts for value in (s.r2, s.r2_without_largest, s.r2_shares, s.mae)]
        wanted += [found.held_out_rest.r2, found.time_s]
        assert [float(cell.removesuffix(" s")) for cell in row[1:]] == pytest.approx(wanted, rel=5e-3, abs=5e-5)
    assert "<li>trees: needs &lt;10&gt; days</li>" in page
    assert "Given the rest:" in page


def test_providers_and_weights_are_those_of_the_calibration(calibration: Calibration, page: str) -> None:
    assert calibration.intervals is not None
    preferences, price = calibration.fit.preferences, calibration.observations.price
    rows = table(page, "provider")
    assert set(rows) == set(preferences.provider_ids)
    for j, name in enumerate(preferences.provider_ids):
        row, volume = rows[name], calibration.observations.flow
        assert float(column(row, "value b")) == pytest.approx(preferences.value[j], rel=1e-3)
        assert float(column(row, "% of volume o")) == pytest.approx(
            100 * volume[:, :, j].sum() / volume.sum(), abs=0.006
        )
        assert float(column(row, "% of volume p")) == pytest.approx(
            100 * calibration.flow[:, :, j].sum() / calibration.flow.sum(), abs=0.006
        )
        assert float(column(row, "mean price")) == pytest.approx(np.nanmean(price[:, j]), rel=1e-3)
        if not np.isnan(calibration.elasticity[j]):
            assert float(column(row, "own-price")) == pytest.approx(calibration.elasticity[j], rel=1e-2)
        ends = "held" if j == calibration.intervals.reference else calibration.intervals.values[j]
        assert column(row, "90%") == (ends if isinstance(ends, str) else f"{ends[0]:.3g} to {ends[1]:.3g}")
    low, high = calibration.intervals.weights["congestion"]
    weights = table(page, "weight of")
    assert weights["congestion, common"]["value"] == f"{preferences.congestion:.4g}"
    assert weights["congestion, common"]["90% interval"] == f"{low:.3g} to {high:.3g}"
    assert weights["delay"]["unit"] == "currency per volume unit and delay unit"
    assert weights["price"]["value"] == "1"


def test_users_shrinkage_and_identifiability_are_those_of_the_calibration(calibration: Calibration, page: str) -> None:
    observations = calibration.observations
    rows = table(page, "user")
    assert set(rows) == set(observations.user_ids)
    for i, name in enumerate(observations.user_ids):
        seen = calibration.fit.days.train[:, i]
        share, fitted = (flow[:, i] / observations.demand[:, i, None] for flow in (observations.flow, calibration.flow))
        wanted = 1 - ((share - fitted)[seen] ** 2).sum() / ((share[seen] - share[seen].mean()) ** 2).sum()
        assert float(rows[name]["R² of its shares, cells seen"]) == pytest.approx(wanted, abs=6e-5)
        assert float(column(rows[name], "demand")) == pytest.approx(observations.demand[:, i].mean(), rel=1e-3)
    tried = table(page, "shrinkage kappa")
    assert [row[""] for row in tried.values()] == ["", "chosen"]
    assert tried["0.03"]["R² of flows held out in turn"] == "0.7124"
    assert calibration.identifiability.condition is not None
    assert f"derivatives: {calibration.identifiability.condition:.3g}, of" in page


def test_what_the_data_cannot_see_is_listed(calibration: Calibration) -> None:
    blind = ({"weight of delay": 1.0}, {f"value of {ODD}": 0.8, "value of p2": -0.5, "value of p3": 0.3})
    page = calibration_page(
        replace(calibration, choice=None, identifiability=Identifiability(np.array([1.0, 0.0]), blind))
    )
    assert "<li>the weight of delay. Delays hardly differ" in page
    assert "only proportions are known: value of" in page
    assert "2 directions along which the flows stay the same" in page
    assert "infinite" in page
    assert "value of p2 -0.5, value of p3 +0.3" in page
    assert "<h2>Shrinkage</h2>" not in page
    assert "shrinkage 0.03, given" in page


def test_the_page_needs_nothing_else_and_names_are_text(calibration: Calibration, page: str) -> None:
    assert set(re.findall(r"https?://[^\"' <]*", page)) <= {
        "http://www.w3.org/2000/svg",
        "http://www.w3.org/1999/xlink",
    }
    assert not re.search(r"<(script|link(?! rel=\"icon\" href=\"data:)|img|image|iframe|object|embed)\b", page)
    assert "@import" not in page
    assert not re.search(r"url\((?!#)", page)
    identities = re.findall(r'\bid="([^"]+)"', page)
    assert len(identities) == len(set(identities))
    assert "<b>" not in page
    assert "<i>" not in page
    for name in (*calibration.observations.user_ids, *calibration.observations.provider_ids):
        assert f">{name}<" in unescape(page)
    drawn = [unescape(text) for text in re.findall(r"<text[^>]*>(.*?)</text>", page)]
    assert drawn.count(ODD) == 2  # a user, in both forms of the picture of what is missed
    assert sum(text.startswith("a provider wi") and text.endswith("…") for text in drawn) == 4


def test_without_holding_out_or_drawing_there_are_no_columns_for_it() -> None:
    found = calibrated(observed(3, 3, 4))
    page = calibration_page(replace(found, elasticity=np.full(3, np.nan), findings=()))
    assert "none held out;" in page
    assert "Given the rest" not in page
    assert "cells held out" not in page
    rows = table(page, "method")
    assert len(rows[OURS]) == 6
    providers = table(page, "provider")
    assert all(column(row, "own-price") == "-" for row in providers.values())
    assert not any(heading.startswith("90%") for row in providers.values() for heading in row)
    assert table(page, "weight of")["delay"]["90% interval"] == "-"
    assert "No intervals" in page
    assert "interval</text>" not in page
    assert "nan" not in re.sub(r"<svg.*?</svg>", "", page, flags=re.DOTALL)


@pytest.mark.parametrize(("n", "days"), [(1, 4), (3, 1), (1, 1)])
def test_one_user_or_one_day_has_a_page(n: int, days: int) -> None:
    page = calibration_page(calibrated(observed(n, 3, days), draws=2))
    assert f"{n} user{'s' * (n > 1)}, 3 providers" in page
    assert f"({days} day{'s' * (days > 1)})" in page


def test_own_weights_and_groups_are_shown() -> None:
    observations = observed(4, 3, 3)
    groups = {"team <A>": observations.user_ids[:2], "B": observations.user_ids[2:3]}
    specification = Specification(own_congestion=True, own_price=True, groups=groups)
    found = calibrated(observations, hold_out_days(observations, 1), "days:1", specification)
    page, preferences = calibration_page(found), found.fit.preferences
    said = "common preferences, each user's own weight of congestion and of price, values of 2 groups"
    assert said in unescape(page)
    users = table(page, "user")
    for i, name in enumerate(observations.user_ids):
        assert users[name]["weight of congestion"] == f"{preferences.congestion_weight[i]:.4g}"
        assert users[name]["weight of price"] == f"{preferences.price_factor[i]:.4g}"
    (rows,) = [rows for rows in tables(page) if rows[0][1:] == ["team <A>", "B", "everyone"]]
    for row in rows[1:]:
        j = preferences.provider_ids.index(row[0])
        for group, cell in enumerate(row[1:]):
            value, beyond = cell.rstrip(")").split(" (")
            own = float(preferences.group_value[group, j])
            assert float(value) == pytest.approx(preferences.value[j] + own, rel=1e-3, abs=1e-12)
            assert float(beyond) == pytest.approx(own, rel=1e-2, abs=1e-12)
    assert f"<dt>team &lt;A&gt;</dt><dd>{escape(ODD, quote=False)[:9]}" in page


def test_without_values_there_is_no_picture_of_them() -> None:
    page = calibration_page(calibrated(observed(3, 3, 4), specification=Specification(values=False)))
    assert "common preferences without values" in page
    assert "Values of providers" not in page


def test_without_congestion_its_weight_is_0() -> None:
    page = calibration_page(calibrated(observed(3, 3, 4), specification=Specification(congestion=False)))
    assert "common preferences without congestion" in page
    assert table(page, "weight of")["congestion, common"]["value"] == "0"
    assert table(page, "weight of")["congestion, common"]["90% interval"] == "held"


def test_of_many_users_the_largest_are_drawn_and_all_are_listed(calibration: Calibration) -> None:
    page = calibration_page(many(calibration))
    assert f"users, the {MOST} largest of 40" in page
    assert "providers, the 15 largest of 36" in page
    assert f"providers, the {MOST} largest of 36" in page
    assert len(table(page, "user")) == 40
    assert len(table(page, "provider")) == 36
    assert "<summary>All 40 users</summary>" in page


def many(calibration: Calibration) -> Calibration:
    """Each user and provider several times over: not an equilibrium, but enough to draw."""
    by_user, by_provider = np.repeat(np.arange(5), 8), np.repeat(np.arange(6), 6)

    def names(old: Sequence[str], places: list[int]) -> tuple[str, ...]:
        return tuple(f"{old[place]} {number}" for number, place in enumerate(places))

    def cut(array: Any, *axes: Any) -> Any:
        return array[np.ix_(np.arange(7), *axes)]

    old, preferences = calibration.observations, calibration.fit.preferences
    users, providers = names(old.user_ids, by_user.tolist()), names(old.provider_ids, by_provider.tolist())
    observations = replace(
        old,
        user_ids=users,
        provider_ids=providers,
        flow=cut(old.flow, by_user, by_provider),
        price=cut(old.price, by_provider),
        capacity=cut(old.capacity, by_provider),
        delay=cut(old.delay, by_user, by_provider),
    )
    held = cut(calibration.held_out, by_user, by_provider)
    fit = replace(
        calibration.fit,
        days=days_of(observations, observations.cells & ~held),
        weight=cut(calibration.fit.weight, by_user),
        preferences=replace(
            preferences,
            user_ids=users,
            provider_ids=providers,
            value=preferences.value[by_provider] + np.linspace(0, 1, 36),
            price_factor=np.ones(40),
            congestion_factor=np.ones(40),
            group=np.zeros(40, dtype=np.intp),
            group_value=np.zeros((1, 36)),
        ),
    )
    flow, elasticity = cut(calibration.flow, by_user, by_provider), calibration.elasticity[by_provider]
    return replace(
        calibration, observations=observations, fit=fit, held_out=held, flow=flow, elasticity=elasticity, intervals=None
    )


def test_intervals_longer_than_the_picture_are_cut(calibration: Calibration) -> None:
    assert calibration.intervals is not None
    wide = calibration.intervals.values + np.array([-1e6, 1e6])
    page = calibration_page(replace(calibration, intervals=replace(calibration.intervals, values=wide)))
    assert page.count("90% interval; some are longer than the picture") == 1  # on two lines in the narrow form
    assert "1e6" not in "".join(re.findall(r"<text[^>]*>(.*?)</text>", page))


def test_what_is_missed_is_a_mean_over_the_days_of_a_pair(calibration: Calibration) -> None:
    missed, away = mean_residuals(calibration), calibration.observations.m - 1
    wanted = (calibration.flow - calibration.observations.flow)[1:, :, away].mean(axis=0)  # not offered on the first
    np.testing.assert_allclose(missed[:, away], wanted)


def test_marks_that_lie_on_each_other_are_drawn_once(calibration: Calibration) -> None:
    observations = calibration.observations
    day = [0] * 200
    larger = replace(
        calibration,
        observations=replace(
            observations,
            days=tuple(f"2026-{1 + k // 28:02}-{1 + k % 28:02}" for k in range(200)),
            **{name: getattr(observations, name)[day] for name in ("flow", "price", "capacity", "delay")},
        ),
        fit=replace(calibration.fit, days=replace(calibration.fit.days, train=calibration.fit.days.train[day])),
        held_out=calibration.held_out[day],
        flow=calibration.flow[day],
    )
    assert len(flow_picture(larger, 5.8, "a")) < len(flow_picture(calibration, 5.8, "a")) + 1000


@pytest.mark.parametrize("width", [1280, 768, 360])
@pytest.mark.parametrize("large", [False, True])
def test_the_page_needs_no_network_and_fits(
    calibration: Calibration, page: str, browser: Chrome, tmp_path: Path, width: int, large: bool
) -> None:
    file = tmp_path / "report.html"
    file.write_text(calibration_page(many(calibration)) if large else page, encoding="utf-8")
    open_page(browser, file, width)
    browser.execute_script("document.querySelectorAll('details').forEach(e => e.open = true)")
    assert_needs_no_network(browser, file)
    assert complaints(browser) == []
    assert too_wide(browser) <= 0
    assert cut_off(browser, "td, th, dt, dd, p, li, h1, h2, h3, summary, svg text", by_pictures=True) == []
    assert pictures_shown(browser) == 3


@pytest.mark.parametrize("width", [1280, 390])
def test_the_first_screen_says_what_to_do_how_sure_and_why(browser: Chrome, tmp_path: Path, width: int) -> None:
    found = po.calibrate(
        seen_of(alike(4, generate(4, 5, "uniform", 3).value, 1.3, 0.6), 1),
        shrinkage=0.0,
        draws=1,
        baselines=["independence"],
    )
    assert found.profile is not None
    assert found.best is not None
    ((low, high),) = (found.profile.best_price_range or {}).values()
    (tmp_path / "report.html").write_text(calibration_page(found), encoding="utf-8")
    open_page(browser, tmp_path / "report.html", width)
    seen = [
        each.text
        for each in browser.find_elements("css selector", ".verdict li, .verdict figcaption")
        if each.rect["y"] + each.rect["height"] <= browser.execute_script("return window.innerHeight")
    ]
    for said in (
        f"the best price of p5 may be any from {low:.4g} to {high:.4g}; the fit's own is {found.best.price:.4g}",
        f"Own-price elasticity: {found.profile.own.elasticity:.3g} by the fit, which the data do not tell from",
        "No price event was seen",
        "Best baseline, in sample: of flows independence, R^2 ",
        "The best price, were the elasticity another",
    ):
        assert any(said in text for text in seen), said
    assert too_wide(browser) <= 0
    assert cut_off(browser, ".verdict li, .verdict svg text", by_pictures=True) == []
