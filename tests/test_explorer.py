"""The page on which the leader's price moves: in a real browser, every figure against a fresh equilibrium."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from helpers.markets import draw_market
from prillm_or.cli import run
from prillm_or.errors import CombinationError
from prillm_or.explanation.derive import explain
from prillm_or.explanation.explanation import Explanation
from prillm_or.files.markets import read_market, write_market
from prillm_or.files.names import find
from prillm_or.market.market import Array, Market
from prillm_or.report.explorer import Explored, explorer_page
from prillm_or.report.explorer_data import Movement, document, movement
from prillm_or.solving.run import solve
from prillm_or.users.certificate import profit_of
from prillm_or.users.equilibrium import equilibrium

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

NAMES = ("coding-13", "premium-4", "economy-8")
ROOM = 250_000


def shipped(name: str) -> Market:
    return read_market(find("instances", name)).market


def explored(market: Market) -> Explored:
    result = solve(market)
    return Explored(market, result, explain(market, result))


@pytest.fixture(scope="module")
def markets() -> list[Explored]:
    return [explored(shipped(name)) for name in NAMES]


@pytest.fixture(scope="module")
def page(markets: Sequence[Explored], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(markets, tmp_path_factory.mktemp("page"))


def written(markets: Sequence[Explored], folder: Path) -> Path:
    path = folder / "page.html"
    path.write_bytes(explorer_page(markets).encode())
    return path


Open = Callable[..., "Part"]


@pytest.fixture
def opened(browser: Chrome) -> Open:
    """Opens a page at a width and gives its first part."""

    def open_page(path: Path, width: int = 1200) -> Part:
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        browser.get("about:blank")  # the browser's own first page asks for parts of itself
        for kind in ("performance", "browser"):
            logged(browser, kind)
        browser.get(path.as_uri())
        part = Part(browser, 0)
        part.wait()
        return part

    return open_page


def logged(browser: Chrome, kind: str) -> list[str]:
    """What the browser has logged since it was last asked."""
    entries: list[dict[str, Any]] = browser.get_log(kind)  # type: ignore[no-untyped-call]
    return [entry["message"] for entry in entries]


class Part:
    """One market's part of an open page."""

    def __init__(self, browser: Chrome, place: int) -> None:
        self.browser = browser
        self.place = place

    def script(self, body: str, *arguments: object) -> Any:
        """Run a script in which `find` and `all` look in this part."""
        start = f"""const article = document.querySelectorAll("article")[{self.place}];
        const find = (query) => article.querySelector(query), all = (query) => [...article.querySelectorAll(query)];"""
        return self.browser.execute_script(start + body, *arguments)

    def wait(self) -> None:
        """Until the pictures are drawn, which they are as soon as the page has been laid out."""
        self.browser.execute_async_script(
            "const done = arguments[0]; requestAnimationFrame(() => requestAnimationFrame(done))"
        )
        assert self.script("return all('.drawn svg').length") == 2

    def switch(self, place: int) -> Part:
        self.browser.execute_script(
            "const choose = document.getElementById('choose'); choose.value = arguments[0];"
            "choose.dispatchEvent(new Event('change'))",
            str(place),
        )
        part = Part(self.browser, place)
        part.wait()
        return part

    def move(self, price: float) -> None:
        """Type a price, which is not rounded as that of a dragged slider is."""
        self.script(
            "const field = find('.price'); field.value = arguments[0]; field.dispatchEvent(new Event('change'))",
            repr(price),
        )

    def value(self, name: str) -> float:
        return float(self.script("return find(arguments[0]).value", name))

    def flows(self, market: Market) -> dict[tuple[str, str], float]:
        """What the bands show: the height of each, and between whom its title says it runs."""
        bands = self.script("return all('.band').map((band) => [band.textContent, band.getAttribute('d')])")
        found = {}
        for title, path in bands:
            user, provider = title.rsplit(":", 1)[0].split(" to ")
            tall = re.search(r"v([-0-9.e]+)C", path)
            found[user, provider] = float(tall.group(1)) / 300 * market.demand.sum() if tall else 0.0
        return found

    def table(self, name: str) -> dict[str, list[str]]:
        rows = self.script(
            f"return all('table.{name} tbody tr').map((row) => [...row.children].map((cell) => cell.textContent))"
        )
        return {row[0]: row[1:] for row in rows}

    def press(self, query: str, *keys: str) -> None:
        element = self.script("return find(arguments[0])", query)
        for key in keys:
            element.send_keys(key)


def at(market: Market, price: float) -> tuple[float, Array]:
    """Profit and flows of an equilibrium solved afresh."""
    found = equilibrium(market, [price])
    return profit_of(market, [price], found.load), found.flow


def test_it_opens_at_the_best_price_with_the_profit_reported(
    page: Path, opened: Open, markets: Sequence[Explored]
) -> None:
    part = opened(page)
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
        assert f"{one.explanation.provider} has a load of {load:.4g}" in " ".join(shown.split())


@pytest.mark.parametrize("place", range(len(NAMES)))
def test_at_any_price_it_shows_what_an_equilibrium_solved_afresh_gives(
    page: Path, opened: Open, markets: Sequence[Explored], place: int
) -> None:
    part, market = opened(page).switch(place), markets[place].market
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
        best = equilibrium(market, [markets[place].explanation.price])
        for provider, cells in part.table("providers").items():
            change = loads[provider] - best.load[market.provider_ids.index(provider)]
            assert float(cells[4]) == pytest.approx(change, rel=1e-2, abs=1e-8)
        to_leader = dict(zip(market.user_ids, flow[:, market.leader[0]].tolist(), strict=True))
        for user, cells in part.table("users").items():
            assert float(cells[1]) == pytest.approx(to_leader[user], rel=1e-3, abs=1e-12)
            change = to_leader[user] - best.flow[market.user_ids.index(user), market.leader[0]]
            assert float(cells[4]) == pytest.approx(change, rel=1e-2, abs=1e-8)


def test_the_states_and_the_next_change_are_those_of_the_explanation(
    page: Path, opened: Open, markets: Sequence[Explored]
) -> None:
    part = opened(page)
    for place, one in enumerate(markets):
        part, explanation = part.switch(place), one.explanation
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


def test_the_moving_points_are_on_the_curves(page: Path, opened: Open) -> None:
    part = opened(page).switch(1)
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


def test_bands_fill_what_they_run_between(page: Path, opened: Open) -> None:
    part = opened(page).switch(2)
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


def test_keys_buttons_and_the_field_move_the_price(page: Path, opened: Open, markets: Sequence[Explored]) -> None:
    keys = pytest.importorskip("selenium.webdriver.common.keys").Keys
    part, one = opened(page), markets[0]
    today, best, cap = float(one.market.price[one.market.leader[0]]), one.explanation.price, one.explanation.cap
    for query in (".slider", ".price"):  # steps of 0.0005
        part.move(best)
        part.press(query, keys.ARROW_UP)
        assert part.value(".slider") == 0.112
        part.press(query, keys.PAGE_UP, keys.ARROW_DOWN)
        assert part.value(".slider") == 0.1165
    part.press(".slider", keys.HOME)
    assert part.value(".profit") == 0
    part.press(".slider", keys.END)
    assert part.value(".slider") == cap
    assert part.value(".profit") == pytest.approx(at(one.market, cap)[0], rel=1e-9)
    part.press(".jumps button:nth-child(2)", keys.ENTER)
    assert part.value(".slider") == today
    pressed = part.script("return all('.jumps button').map((button) => button.ariaPressed)")
    assert pressed == ["false", "true"]
    part.press(".jumps button:nth-child(1)", keys.SPACE)
    assert part.value(".profit") == pytest.approx(one.result.profit, rel=1e-9)
    for typed, shown in (("0.15", 0.15), ("7", cap), ("-2", 0.0)):
        part.press(".price", keys.CONTROL + "a", typed, keys.ENTER)
        assert part.value(".slider") == shown
    part.press(".price", keys.CONTROL + "a", keys.DELETE, keys.ENTER)
    assert part.script("return find('.price').value") == "0"


def test_dragging_moves_in_round_steps(page: Path, opened: Open) -> None:
    part = opened(page)
    part.script("const slider = find('.slider'); slider.value = 0.123456; slider.dispatchEvent(new Event('input'))")
    assert part.value(".slider") == 0.12345
    assert part.script("return find('.slider').getAttribute('aria-valuetext')") == "0.12345"


def test_what_it_shows_has_names_for_those_who_cannot_see_it(page: Path, opened: Open) -> None:
    part = opened(page)
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


def test_switching_shows_one_market_and_keeps_the_price_of_the_other(page: Path, opened: Open) -> None:
    part = opened(page)
    part.move(0.15)
    seen = "return [...document.querySelectorAll('article')].map((one) => one.getClientRects().length > 0)"
    assert part.browser.execute_script(seen) == [True, False, False]
    other = part.switch(2)
    assert other.browser.execute_script(seen) == [False, False, True]
    assert part.value(".slider") == 0.15
    assert other.value(".share") == 1


@pytest.mark.parametrize(("width", "dark"), [(1200, False), (800, True), (400, False), (320, True)])
def test_it_needs_no_network_and_fits(page: Path, browser: Chrome, opened: Open, width: int, dark: bool) -> None:
    scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
    part = opened(page, width)
    requests = [
        entry["params"]["request"]["url"]
        for entry in (json.loads(text)["message"] for text in logged(browser, "performance"))
        if entry["method"] == "Network.requestWillBeSent"
    ]
    assert page.as_uri() in requests
    assert [url for url in requests if not url.startswith(("file:", "data:", "chrome:"))] == []
    for place in range(len(NAMES)):
        part = part.switch(place)
        part.script("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
        wider = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
        assert part.browser.execute_script(wider) <= 0
        assert part.browser.execute_script(_CUT_OFF) == []
    light = "return getComputedStyle(document.body).backgroundColor"
    assert browser.execute_script(light) == ("rgb(22, 24, 28)" if dark else "rgb(255, 255, 255)")
    assert logged(browser, "browser") == []
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


_CUT_OFF = """
return [...document.querySelectorAll('td, th, dt, dd, p:not(.said), li, h1, h2, h3, button, svg text')]
  .filter(e => e.getClientRects().length).filter(e => {
    const r = e.getBoundingClientRect(); return r.left < -1 || r.right > document.documentElement.clientWidth + 1;
  }).map(e => e.textContent)
"""


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


def test_without_scripts_the_explanation_is_still_there(page: Path, browser: Chrome, opened: Open) -> None:
    opened(page)
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


def test_names_are_text_and_never_markup(tmp_path: Path, browser: Chrome, opened: Open) -> None:
    market = shipped("premium-4")
    users = ("<img src=x onerror=document.title='bad'>", "用户\"'&amp;", "<!-- <script>", *market.user_ids[3:])
    providers = ("</script><b>bold</b>", "x" * 120, *market.provider_ids[2:])
    odd = replace(market, name="</script><i>odd", description="</p><u>", user_ids=users, provider_ids=providers)
    for width in (1200, 320):
        part = opened(written([explored(odd), explored(shipped("tiny/kink"))], tmp_path), width)
        assert set(part.table("users")) == set(users)
        assert set(part.table("providers")) == set(providers)
        assert browser.execute_script("return document.querySelectorAll('i, b, u, img').length") == 0
        assert browser.execute_script("return document.querySelectorAll('script').length") == 3
        assert browser.execute_script("return document.title") == "Price explorer"
        assert part.script("return find('h2').textContent") == "</script><i>odd"
        assert browser.execute_script(_CUT_OFF) == []
        assert logged(browser, "browser") == []


@pytest.mark.parametrize("name", ["two-maxima", "nobody", "cap-binds", "tie", "own-weights"])
def test_local_maxima_have_buttons_and_odd_markets_have_pages(name: str, tmp_path: Path, opened: Open) -> None:
    one = explored(shipped(f"tiny/{name}"))
    part = opened(written([one], tmp_path))
    assert part.value(".profit") == pytest.approx(one.result.profit, rel=1e-9)
    buttons = part.script("return all('.jumps button').map((button) => button.textContent)")
    others = [f"Local maximum {other.price:.4g}" for other in one.explanation.local_maxima[1:]]
    assert [text for text in buttons if text.startswith("Local")] == others
    if others:
        part.script("all('.jumps button').at(-1).click()")
        assert part.value(".profit") == pytest.approx(one.explanation.local_maxima[-1].profit, rel=1e-9)
    assert logged(part.browser, "browser") == []


def test_a_price_cap_of_zero_leaves_one_price(tmp_path: Path, opened: Open) -> None:
    market = replace(shipped("tiny/kink"), price_cap=np.zeros(1))
    part = opened(written([explored(market)], tmp_path))
    assert part.value(".profit") == 0
    assert part.script("return find('.slider').disabled")
    assert "Today's price, 1, is not among the prices shown." in part.script("return article.innerText")
    assert logged(part.browser, "browser") == []


def test_between_its_prices_everything_is_linear(kind: str) -> None:
    market = draw_market(kind, 9, 6, 3)
    moved = movement(market, explain(market), ROOM)
    shown = np.ix_(moved.users.named, moved.providers.named)
    assert moved.flow.shape == (len(moved.price), 9, 6)
    for k in range(len(moved.price) - 1):
        low, high = moved.price[k : k + 2]
        load, flow = ((values[k] + values[k + 1]) / 2 for values in (moved.load, moved.flow))
        found = equilibrium(market, [(low + high) / 2])
        np.testing.assert_allclose(load, found.load[market.leader[0]], rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(flow, found.flow[shown], atol=1e-9 * market.demand.max())


def test_with_little_room_the_largest_are_named_and_the_rest_is_one() -> None:
    market = draw_market("uniform", 30, 12, 1)
    explanation = explain(market)
    whole = movement(market, explanation, ROOM)
    moved = movement(market, explanation, 100 * len(whole.price))
    users, providers = moved.users, moved.providers
    assert (len(users.named), len(users.others), len(providers.named), len(providers.others)) == (5, 25, 6, 6)
    np.testing.assert_allclose(moved.flow.sum(axis=1)[:, 0], moved.load, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(moved.flow.sum(axis=(1, 2)), market.demand.sum(), rtol=1e-12)
    np.testing.assert_array_equal(moved.load, whole.load)
    assert _uses_leader(whole) >= _uses_leader(moved)
    assert _uses_leader(moved) == set(users.named)  # they are named first
    shown = document(market, explanation, moved)
    demand = pytest.approx(market.demand[list(users.others)].sum())
    assert shown["users"][-1] == {"name": "25 other users", "demand": demand, "named": False}
    assert shown["providers"][-1] == {"name": "6 other rivals", "named": False, "price": None, "capacity": None}


def _uses_leader(moved: Movement) -> set[int]:
    return {i for place, i in enumerate(moved.users.named) if moved.flow[:, place, 0].max() > 1e-9}


def test_a_page_of_a_market_with_many_users_says_who_is_not_named(tmp_path: Path, opened: Open) -> None:
    market = draw_market("heavy", 50, 46, 2)
    one = explored(market)
    part = opened(written([one], tmp_path))
    text = part.script("return article.innerText")
    assert "Shown as one: 10 users" in text
    assert "Shown as one: the 5 rivals" in text
    assert "of 40 shown" in text
    assert part.value(".profit") == pytest.approx(one.result.profit, rel=1e-9)
    price = 0.9 * one.explanation.price
    part.move(price)
    assert part.value(".profit") == pytest.approx(at(market, price)[0], rel=1e-9)


def test_several_prices_and_too_many_pieces_are_refused(markets: Sequence[Explored]) -> None:
    one: Explanation = markets[0].explanation
    with pytest.raises(CombinationError, match="14 pieces, too many for a page"):
        movement(markets[0].market, one, 100)
    several = replace(markets[0], market=shipped("premium-4-two-prices"))
    with pytest.raises(CombinationError, match="sets 2 prices, a page moves one"):
        explorer_page([several])


def test_the_command_writes_the_page_or_says_why_not(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "page.html"
    assert run(["page", "tiny/kink", "tiny/tie", "--out", str(out)]) == 0
    assert capsys.readouterr().out == f"written: {out}\n"
    text = out.read_text(encoding="utf-8")
    assert text.count("<article") == 2
    write_market(replace(shipped("tiny/kink"), name="mine"), tmp_path / "mine.json")
    assert run(["page", str(tmp_path / "mine.json"), "--out", str(out)]) == 0
    assert "Price explorer: mine" in out.read_text(encoding="utf-8")
    assert run(["page", "tiny/kink", "--outside", "-0.5", "--out", str(out)]) == 0
    assert "outside is a rival of value -0.5" in out.read_text(encoding="utf-8")
    before = out.read_bytes()
    for instances, target, said in (
        (["tiny/kink", "tiny/two-prices"], out, "a page moves one"),
        (["nothing-like-it"], out, "no file is called 'nothing-like-it'"),
        (["tiny/kink"], tmp_path / "page.htm", "ends in .html"),
        (["tiny/kink"], tmp_path / "none" / "page.html", "does not exist"),
    ):
        assert run(["page", *instances, "--out", str(target)]) == 2
        assert said in capsys.readouterr().err
    assert out.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine.json", "page.html"]
