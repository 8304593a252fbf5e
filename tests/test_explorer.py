"""The page on which the leader's price moves: in a real browser, every figure against a fresh equilibrium."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from selenium.webdriver.support.ui import WebDriverWait

from helpers.answers import profit_at
from helpers.browser import assert_needs_no_network, complaints, cut_off, too_wide
from helpers.explorer import Part, explored, opened, page_of, why
from helpers.markets import draw_market, shipped
from helpers.sold import sold
from prillm_or.market.changes import apply
from prillm_or.market.decisions import all_prices
from prillm_or.market.market import Array, Market
from prillm_or.report.explorer import Explored
from prillm_or.solving.recheck import decided_in
from prillm_or.users.certificate import profit_of
from prillm_or.users.equilibrium import equilibrium_at

if TYPE_CHECKING:
    from selenium.webdriver import Chrome


TEXTS = "td, th, dt, dd, p:not(.said), li, h1, h2, h3, button, svg text"
NAMES = ("coding-13", "premium-4", "economy-8")


@pytest.fixture(scope="module")
def markets() -> list[Explored]:
    return [explored(shipped(name)) for name in NAMES]


@pytest.fixture(scope="module")
def page(markets: Sequence[Explored], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return page_of(markets, tmp_path_factory.mktemp("page"))


def at(market: Market, price: float) -> tuple[float, Array]:
    """Profit and flows of an equilibrium solved afresh."""
    found = equilibrium_at(market, [price])
    return profit_of(market, [price], found.billed), found.flow


def test_it_opens_at_the_best_price_with_the_profit_reported(
    page: Path, browser: Chrome, markets: Sequence[Explored]
) -> None:
    part = opened(browser, page)
    for place, one in enumerate(markets):
        part = part.switch(place)
        (price,), (load,) = one.result.prices.values(), one.result.loads.values()
        assert part.value(".slider") == pytest.approx(price, rel=1e-12)
        assert part.value(".profit") == pytest.approx(one.result.profit, rel=1e-9)
        assert part.value(".load") == pytest.approx(load, rel=1e-9)
        assert part.value(".share") == 1
        assert part.script("return find('.profit').textContent") == f"{one.result.profit:.5g}"
        shown = part.script("return article.innerText")
        assert f"Why {price:.4g} is best" in shown
        assert f"{why(one).provider} has a load of {load:.4g}" in " ".join(shown.split())


@pytest.mark.parametrize("place", range(len(NAMES)))
def test_at_any_price_it_shows_what_an_equilibrium_solved_afresh_gives(
    page: Path, browser: Chrome, markets: Sequence[Explored], place: int
) -> None:
    part, market = opened(browser, page).switch(place), markets[place].market
    high = float(part.script("return find('.slider').max"))
    for price in np.random.default_rng(place).uniform(0, high, 4).tolist():
        part.move(price)
        profit, flow = at(market, price)
        assert part.value(".profit") == pytest.approx(profit, rel=1e-9, abs=1e-12)
        shown = part.flows(market)
        wanted = {
            (market.user_ids[i], market.provider_ids[j]): float(flow[i, j]) for i, j in np.argwhere(flow > 0).tolist()
        }
        for pair in shown.keys() | wanted.keys():
            assert shown.get(pair, 0.0) == pytest.approx(wanted.get(pair, 0.0), rel=1e-6, abs=1e-8)
        loads = dict(zip(market.provider_ids, flow.sum(axis=0).tolist(), strict=True))
        for provider, cells in part.table("providers").items():
            assert float(cells[1]) == pytest.approx(loads[provider], rel=1e-3)
        best = equilibrium_at(market, [why(markets[place]).price])
        for provider, cells in part.table("providers").items():
            change = loads[provider] - best.load[market.provider_ids.index(provider)]
            assert float(cells[4]) == pytest.approx(change, rel=1e-2, abs=1e-8)
        to_leader = dict(zip(market.user_ids, flow[:, market.leader[0]].tolist(), strict=True))
        for user, cells in part.table("users").items():
            assert float(cells[1]) == pytest.approx(to_leader[user], rel=1e-3, abs=1e-12)
            change = to_leader[user] - best.flow[market.user_ids.index(user), market.leader[0]]
            assert float(cells[4]) == pytest.approx(change, rel=1e-2, abs=1e-8)


def test_the_states_and_the_next_change_are_those_of_the_explanation(
    page: Path, browser: Chrome, markets: Sequence[Explored]
) -> None:
    part = opened(browser, page)
    for place, one in enumerate(markets):
        part, explanation = part.switch(place), why(one)
        states = {user: cells[3] for user, cells in part.table("users").items()}
        assert states == {user.id: str(user.state) for user in explanation.users}
        leaves, first = min((user.leaves_at, user.id) for user in explanation.users if user.leaves_at is not None)
        part.move(leaves * (1 - 1e-7))
        assert part.table("users")[first][3] == "leaving"
        said = part.script("return find('.next').textContent")
        assert f"Next as the price rises: at {leaves:.4g} {first} stops using {explanation.provider}" in said
        part.move(leaves * (1 + 1e-7))
        said = part.script("return find('.next').textContent")
        assert f"Next as it falls: at {leaves:.4g} {first} begins using {explanation.provider}" in said
        for joins, user in [(user.joins_at, user.id) for user in explanation.users if user.joins_at is not None]:
            part.move(joins * 1.005)
            assert part.table("users")[user][3] == "joining"


def test_the_moving_points_are_on_the_curves(page: Path, browser: Chrome) -> None:
    part = opened(browser, page).switch(1)
    high = float(part.script("return find('.slider').max"))
    for price in np.linspace(0, high, 7).tolist():
        part.move(price)
        assert part.script(_OFF_THE_CURVES) == [pytest.approx(0, abs=0.05)] * 2


_OFF_THE_CURVES = """
const dots = all('circle.now'), curves = all('.curves path.curve');
return dots.map((dot, which) => {
  const x = Number(dot.getAttribute('cx')), curve = curves[which];
  let low = 0, high = curve.getTotalLength();
  for (let k = 0; k < 40; k += 1) {
    const middle = (low + high) / 2;
    if (curve.getPointAtLength(middle).x < x) low = middle; else high = middle;
  }
  return curve.getPointAtLength(low).y - Number(dot.getAttribute('cy'));
})
"""


def test_bands_fill_what_they_run_between(page: Path, browser: Chrome) -> None:
    part = opened(browser, page).switch(2)
    part.move(0.08)
    number = "([-0-9.e]+)"
    shape = re.compile(f"M{number} {number}C{number} {number} {number} {number} {number} {number}v{number}C")
    bands: dict[str, list[tuple[float, float]]] = {"left": [], "right": []}
    for path in part.script("return all('.band').map((band) => band.getAttribute('d'))"):
        if found := shape.match(path):
            _, left, _, _, _, _, _, right, tall = map(float, found.groups())
            bands["left"].append((left, tall))
            bands["right"].append((right, tall))
    nodes = part.script(
        "return all('.node').map((node) => [node.classList.contains('user') ? 'left' : 'right',"
        "Number(node.getAttribute('y')), Number(node.getAttribute('height'))])"
    )
    seen = 0
    for side, top, height in nodes:
        end = top
        for start, tall in sorted(band for band in bands[side] if top - 1e-6 < band[0] < top + height):
            assert start == pytest.approx(end, abs=1e-6)  # where the one before it ends
            end, seen = start + tall, seen + 1
        assert height == pytest.approx(max(end - top, 0.75), abs=1e-6)  # a thin one is still seen
    assert seen == len(bands["left"]) + len(bands["right"]) > 20


def test_keys_buttons_and_the_field_move_the_price(page: Path, browser: Chrome, markets: Sequence[Explored]) -> None:
    keys = pytest.importorskip("selenium.webdriver.common.keys").Keys
    part, one = opened(browser, page), markets[0]
    today, best, cap = float(one.market.price[one.market.leader[0]]), why(one).price, why(one).cap
    for query in (".slider", ".price"):  # steps of 0.0005
        part.move(best)
        part.press(query, keys.ARROW_UP)
        assert part.value(".slider") == pytest.approx(step := 0.0005 * np.ceil(best / 0.0005), rel=1e-12)
        part.press(query, keys.PAGE_UP, keys.ARROW_DOWN)
        assert part.value(".slider") == pytest.approx(step + 9 * 0.0005, rel=1e-12)
    part.press(".slider", keys.HOME)
    assert part.value(".profit") == 0
    part.press(".slider", keys.END)
    assert part.value(".slider") == pytest.approx(cap, rel=1e-14)  # shown with 15 digits
    assert part.value(".profit") == pytest.approx(at(one.market, cap)[0], rel=1e-9)
    part.press(".jumps button:nth-child(2)", keys.ENTER)
    assert part.value(".slider") == pytest.approx(today, rel=1e-14)
    pressed = part.script("return all('.jumps button').map((button) => button.ariaPressed)")
    assert pressed == ["false", "true"]
    part.press(".jumps button:nth-child(1)", keys.SPACE)
    assert part.value(".profit") == pytest.approx(one.result.profit, rel=1e-9)
    for typed, shown in (("0.15", 0.15), ("7", cap), ("-2", 0.0)):
        part.press(".price", keys.CONTROL + "a", typed, keys.ENTER)
        assert part.value(".slider") == pytest.approx(shown, rel=1e-14)
    part.press(".price", keys.CONTROL + "a", keys.DELETE, keys.ENTER)
    assert part.script("return find('.price').value") == "0"


def test_dragging_moves_in_round_steps(page: Path, browser: Chrome) -> None:
    part = opened(browser, page)
    part.script("const slider = find('.slider'); slider.value = 0.123456; slider.dispatchEvent(new Event('input'))")
    assert part.value(".slider") == 0.12345
    assert part.script("return find('.slider').getAttribute('aria-valuetext')") == "0.12345"


def test_what_it_shows_has_names_for_those_who_cannot_see_it(page: Path, browser: Chrome) -> None:
    part = opened(browser, page)
    part.move(0.15)
    labels = part.script("return all('[role=img]').map((picture) => picture.getAttribute('aria-label'))")
    assert [label.split(".")[0] for label in labels] == ["Profit and load over price", "Flows from users to providers"]
    assert all("0.15" in label for label in labels)
    unnamed = "return all('input, button, select, table.providers, table.users').filter((e) => !(e.labels || []).length"
    unnamed += " && !e.textContent.trim() && !e.getAttribute('aria-label')).length"
    assert part.script(unnamed) == 0
    said = part.browser.execute_async_script(
        "const done = arguments[0]; setTimeout(() => done(document.querySelector('.said').textContent), 600)"
    )
    assert said.startswith("At 0.15: profit ")


def test_switching_shows_one_market_and_keeps_the_price_of_the_other(page: Path, browser: Chrome) -> None:
    part = opened(browser, page)
    part.move(0.15)
    seen = "return [...document.querySelectorAll('article')].map((one) => one.getClientRects().length > 0)"
    assert part.browser.execute_script(seen) == [True, False, False]
    other = part.switch(2)
    assert other.browser.execute_script(seen) == [False, False, True]
    assert part.value(".slider") == 0.15
    assert other.value(".share") == 1


@pytest.mark.parametrize(("width", "dark"), [(1200, False), (768, True), (400, False), (320, True)])
def test_it_needs_no_network_and_fits(page: Path, browser: Chrome, width: int, dark: bool) -> None:
    scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
    part = opened(browser, page, width)
    assert_needs_no_network(browser, page)
    for place in range(len(NAMES)):
        part = part.switch(place)
        part.script("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
        assert too_wide(browser) <= 0
        assert cut_off(browser, TEXTS) == []
    light = "return getComputedStyle(document.body).backgroundColor"
    assert browser.execute_script(light) == ("rgb(22, 24, 28)" if dark else "rgb(255, 255, 255)")
    assert complaints(browser) == []
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def test_it_is_one_small_file(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert len(text.encode()) < 5_000_000
    assert "default-src 'none'" in text
    assert not re.search(r"<(link(?! rel=\"icon\" href=\"data:)|img|iframe|object|embed|script src)\b", text)
    assert "@import" not in text
    assert not re.search(r"\son\w+=", text)  # no inline handlers
    for attribute in re.findall(r'\b(?:href|src|srcset|action)="([^"]*)"', text):
        assert attribute.startswith(("#", "data:"))
    identities = re.findall(r'\bid="([^"$]+)"', text)
    assert len(identities) == len(set(identities))


def test_without_scripts_the_explanation_is_still_there(page: Path, browser: Chrome) -> None:
    opened(browser, page)
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        browser.get(page.as_uri())
        text = browser.execute_script("return document.body.innerText")
        hidden = browser.execute_script(
            "return [...document.querySelectorAll('.live')].filter((e) => e.getClientRects().length).length"
        )
    finally:
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
    assert "Scripts are off" in text
    assert hidden == 0
    for name in NAMES:
        assert name in text
    assert text.count("Users at the best price") == len(NAMES)


def test_names_are_text_and_never_markup(tmp_path: Path, browser: Chrome) -> None:
    market = shipped("premium-4")
    users = ("<img src=x onerror=document.title='bad'>", "用户\"'&amp;", "<!-- <script>", *market.user_ids[3:])
    providers = ("</script><b>bold</b>", "x" * 120, *market.provider_ids[2:])
    odd = replace(market, name="</script><i>odd", description="</p><u>", user_ids=users, provider_ids=providers)
    for width in (1200, 320):
        part = opened(browser, page_of([explored(odd), explored(shipped("tiny/kink"))], tmp_path), width)
        assert set(part.table("users")) == set(users)
        assert set(part.table("providers")) == set(providers)
        assert browser.execute_script("return document.querySelectorAll('i, b, u, img').length") == 0
        assert browser.execute_script("return document.querySelectorAll('script').length") == 3
        assert browser.execute_script("return document.title") == "Price explorer"
        assert part.script("return find('h2').textContent") == "</script><i>odd"
        assert cut_off(browser, TEXTS) == []
        assert complaints(browser) == []


@pytest.mark.parametrize(("seed", "decides"), [(3, ("output",)), (8, "factor"), (7, "factor")])
def test_a_page_of_a_price_list_shows_its_profit_and_prices(
    seed: int, decides: str | tuple[str, ...], tmp_path: Path, browser: Chrome
) -> None:
    one = explored(sold(seed, decides=decides))
    part, market = opened(browser, page_of([one], tmp_path)), one.market
    assert part.value(".profit") == pytest.approx(one.result.profit, rel=1e-9)
    what = "factor" if decides == "factor" else "price"
    assert f"Best {what} {why(one).price:.4g}" in part.script("return find('.jumps').textContent")
    high = float(part.script("return find('.slider').max"))
    for value in np.random.default_rng(seed).uniform(0, high, 4).tolist():
        part.move(value)
        profit, _ = at(market, value)
        assert part.value(".profit") == pytest.approx(profit, rel=1e-9, abs=1e-9)
        prices = all_prices(market, [value])
        for provider, cells in part.table("providers").items():
            shown = [float(text.rsplit(" ", 1)[1]) for text in cells[0].split(", ")]
            assert shown == pytest.approx(prices[market.provider_ids.index(provider)], rel=1e-3)
            assert (cells[3] == "-") is not market.congested
    assert complaints(part.browser) == []


@pytest.mark.parametrize("name", ["two-maxima", "nobody", "cap-binds", "tie", "own-weights"])
def test_local_maxima_have_buttons_and_odd_markets_have_pages(name: str, tmp_path: Path, browser: Chrome) -> None:
    one = explored(shipped(f"tiny/{name}"))
    part = opened(browser, page_of([one], tmp_path))
    assert part.value(".profit") == pytest.approx(one.result.profit, rel=1e-9)
    buttons = part.script("return all('.jumps button').map((button) => button.textContent)")
    others = [f"Local maximum {other.price:.4g}" for other in why(one).local_maxima[1:]]
    assert [text for text in buttons if text.startswith("Local")] == others
    if others:
        part.script("all('.jumps button').at(-1).click()")
        assert part.value(".profit") == pytest.approx(why(one).local_maxima[-1].profit, rel=1e-9)
    assert complaints(part.browser) == []


def test_a_price_cap_of_zero_leaves_one_price(tmp_path: Path, browser: Chrome) -> None:
    market = replace(shipped("tiny/kink"), price_cap=np.zeros(1))
    part = opened(browser, page_of([explored(market)], tmp_path))
    assert part.value(".profit") == 0
    assert part.script("return find('.slider').disabled")
    assert "Today's price, 1, is above the cap" in part.script("return article.innerText")
    assert complaints(part.browser) == []


def test_a_page_of_a_market_with_many_users_says_who_is_not_named(tmp_path: Path, browser: Chrome) -> None:
    market = draw_market("heavy", 50, 46, 2)
    one = explored(market)
    part = opened(browser, page_of([one], tmp_path))
    text = part.script("return article.innerText")
    assert "Shown as one: 10 users" in text
    assert "Shown as one: the 5 rivals" in text
    assert "of 50" in text
    assert part.value(".profit") == pytest.approx(one.result.profit, rel=1e-9)
    price = 0.9 * why(one).price
    part.move(price)
    assert part.value(".profit") == pytest.approx(at(market, price)[0], rel=1e-9)


def test_flows_and_tables_of_many_follow_once_the_slider_rests(tmp_path: Path, browser: Chrome) -> None:
    market = draw_market("heavy", 20, 12, 2)
    part = opened(browser, page_of([explored(market)], tmp_path))
    told = part.script("return find('.at').textContent")
    price, changed = part.script(_DRAGGED)
    profit, flow = at(market, price)
    assert part.value(".profit") == pytest.approx(profit, rel=1e-9)
    assert changed == 0
    shown = "return [...all('.at').map((one) => one.textContent), find('.flows').ariaLabel.match(/At (\\S+)/)[1]]"
    WebDriverWait(browser, 10).until(lambda _: part.script(shown) == 4 * [f"{price:.4g}"] != 4 * [told])
    bands = part.flows(market)
    for i, j in np.ndindex(flow.shape):
        assert bands.get((market.user_ids[i], market.provider_ids[j]), 0.0) == pytest.approx(flow[i, j], rel=1e-6)
    for name, volumes in (("providers", flow.sum(axis=0)), ("users", flow[:, market.leader[0]])):
        cells = part.table(name).values()
        assert sorted(float(row[1]) for row in cells) == pytest.approx(sorted(volumes), rel=1e-3, abs=1e-9)


_DRAGGED = """
const seen = new MutationObserver(() => {}), slider = find('.slider');
for (const holder of all('.flows, .moving')) seen.observe(holder, { subtree: true, childList: true, attributes: true });
for (const part of [0.3, 0.35, 0.4, 0.45]) {
  slider.value = part * slider.max;
  slider.dispatchEvent(new Event('input'));
}
return [Number(slider.value), seen.takeRecords().length];
"""


@pytest.fixture(scope="module")
def several() -> list[Explored]:
    return [explored(shipped("premium-4-two-prices")), explored(shipped("premium-4-lists"))]


def test_each_of_several_prices_has_a_slider_that_moves_it_alone(
    several: Sequence[Explored], tmp_path: Path, browser: Chrome
) -> None:
    part = opened(browser, page_of(several, tmp_path))
    for place, one in enumerate(several):
        part, market, today = part.switch(place), one.market, one.market.today
        best = decided_in(market, one.result)
        assert today is not None
        assert part.value(".profit") == pytest.approx(one.result.profit, rel=1e-9)
        assert part.value(".share") == 1
        for button, base in ((1, best), (2, today)):
            part.press(f".jumps button:nth-child({button})", " ")
            assert _values(part) == pytest.approx(base.tolist(), rel=1e-9)
            assert part.value(".profit") == pytest.approx(profit_at(market, base), rel=1e-9)
            pressed = part.script("return all('.jumps button').map((button) => button.ariaPressed)")
            assert pressed == [str(button == which).lower() for which in (1, 2)]
            for k, decision in enumerate(market.decisions):
                part.press(f".jumps button:nth-child({button})", " ")
                high = float(part.script("return all('.slider')[arguments[0]].max", k))
                value = float(np.random.default_rng(k).uniform(0.1, 0.9)) * high
                _type(part, k, value)
                decisions = base.copy()
                decisions[k] = value
                found = equilibrium_at(market, decisions)
                assert _values(part) == pytest.approx(decisions.tolist(), rel=1e-9)
                assert part.value(".profit") == pytest.approx(profit_at(market, decisions), rel=1e-9)
                load = found.load[list(market.leader)].sum()
                assert part.value(".load") == pytest.approx(load, rel=1e-9)
                loads = dict(zip(market.provider_ids, found.load.tolist(), strict=True))
                for provider, cells in part.table("providers").items():
                    assert float(cells[1]) == pytest.approx(loads[provider], rel=1e-3, abs=1e-9)
                to_leader = dict(zip(market.user_ids, found.flow[:, list(market.leader)].sum(axis=1), strict=True))
                for user, cells in part.table("users").items():
                    assert float(cells[1]) == pytest.approx(to_leader[user], rel=1e-3, abs=1e-9)
                assert part.script("return find('.held').textContent").startswith(
                    f"Curve along {decision.name}; held: "
                )
                assert decision.name in part.script("return find('.curves').parentElement.innerText")
    assert complaints(browser) == []


def test_the_map_of_two_prices_has_regions_and_takes_both_where_it_is_pointed_at(
    several: Sequence[Explored], tmp_path: Path, browser: Chrome
) -> None:
    part, market = opened(browser, page_of(several, tmp_path)), several[0].market
    drawn = "return all('.map .region').map((region) => (region.getAttribute('d') || '').length)"
    WebDriverWait(browser, 30).until(lambda shown: all(length > 100 for length in part.script(drawn)))
    part.script(
        "const map = find('.map svg'), box = map.getBoundingClientRect(); map.setPointerCapture = () => {};"
        "map.dispatchEvent(new PointerEvent('pointerdown', { clientX: box.left + 0.5 * box.width,"
        "  clientY: box.top + 0.5 * box.height, pointerId: 1 }))"
    )
    values = _values(part)
    highs = [float(high) for high in part.script("return all('.slider').map((slider) => slider.max)")]
    assert all(0.4 * high < value < 0.6 * high for value, high in zip(values, highs, strict=True))
    assert part.value(".profit") == pytest.approx(profit_at(market, np.array(values)), rel=1e-9)
    assert complaints(browser) == []


def test_rivals_and_demands_move_on_request_and_go_back(page: Path, browser: Chrome) -> None:
    part = opened(browser, page)
    before = part.value(".profit")
    assert part.script("return all('.knobs input').length") == 0
    part.script("find('.others').open = true")
    WebDriverWait(browser, 10).until(lambda shown: part.script("return all('.knobs input').length"))
    market, price = shipped("coding-13"), part.value(".slider")
    fields = {"price of gpt-5.5": 3.0, "capacity of glm-5.2": 20.0, "value of gpt-5.5": 4.0, "demand of pi": 60.0}
    for label, value in fields.items():
        part.script(
            "const field = all('.knobs input[type=number]').find((one) => one.ariaLabel === arguments[0]);"
            "field.value = arguments[1]; field.dispatchEvent(new Event('change'))",
            label,
            str(value),
        )
    change = {
        "providers": {"gpt-5.5": {"price": 3.0, "value": 4.0}, "glm-5.2": {"capacity": 20.0}},
        "users": {"pi": {"demand": 60.0}},
    }
    assert part.value(".profit") == pytest.approx(profit_at(apply(market, change), [price]), rel=1e-9)
    assert part.value(".profit") != pytest.approx(before, rel=1e-3)
    assert part.script("return find('.held').textContent").startswith("4 figures of the market moved.")
    part.press(".back", " ")
    assert part.value(".profit") == pytest.approx(before, rel=1e-12)
    assert part.script("return find('.back').hidden")
    assert complaints(browser) == []


def _values(part: Part) -> list[float]:
    return [float(value) for value in part.script("return all('.slider').map((slider) => slider.value)")]


def _type(part: Part, which: int, value: float) -> None:
    part.script(
        "const field = all('.price')[arguments[0]]; field.value = arguments[1];"
        "field.dispatchEvent(new Event('change'))",
        which,
        repr(value),
    )


@pytest.mark.parametrize("width", [1200, 768, 320])
def test_a_page_of_several_prices_needs_no_network_and_fits(
    several: Sequence[Explored], width: int, tmp_path: Path, browser: Chrome
) -> None:
    page = page_of(several, tmp_path)
    part = opened(browser, page, width)
    assert_needs_no_network(browser, page)
    for place in range(len(several)):
        part = part.switch(place)
        part.script("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
        assert too_wide(browser) <= 0
        assert cut_off(browser, TEXTS) == []
        unnamed = "return all('input').filter((one) => !(one.labels || []).length && !one.ariaLabel).length"
        assert part.script(unnamed) == 0
    assert complaints(browser) == []
