"""Price events: found and scored as by hand, predicted from the days before, told by command, JSON and page."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import prillm_or as po
from prillm_or.backtesting.events import Event, events_of
from prillm_or.backtesting.implied import implied_elasticity
from prillm_or.backtesting.predictions import METHODS, Prediction
from prillm_or.backtesting.procedure import _of_others
from prillm_or.backtesting.result import Backtest
from prillm_or.backtesting.scores import event_scores
from prillm_or.calibration.observation_files import write_observations
from prillm_or.calibration.observations import Observations
from prillm_or.cli import run
from prillm_or.report.backtest_page import backtest_page


def seen(
    share: Sequence[Sequence[float]],
    price: Sequence[Sequence[float]],
    name: str = "seen",
    days: Sequence[str] | None = None,
) -> Observations:
    """One user of demand 10 and the shares and prices of some days; NaN where a provider is not offered."""
    flow, listed = 10.0 * np.nan_to_num(np.array(share))[:, None], np.array(price)
    times, m = listed.shape
    return Observations(
        name=name,
        days=tuple(days or [f"2026-07-{day:02}" for day in range(1, times + 1)]),
        user_ids=("all",),
        provider_ids=tuple("abcdef"[:m]),
        flow=flow,
        price=listed,
        capacity=np.where(np.isnan(listed), np.nan, 5.0),
        delay=np.ones_like(flow),
    )


def answering(elasticity: float, name: str, seed: int, days: int = 8) -> Observations:
    """Shares of three providers in proportion to price^E, with noise; two prices change late by a fifth."""
    price = np.full((days, 3), 2.0)
    price[3:, 1] *= 0.8
    price[5:, 0] *= 1.2
    price[7:, 2] *= 0.8
    share = np.array([3.0, 2.0, 1.0]) * price**elasticity
    share *= np.exp(np.random.default_rng(seed).normal(0.0, 0.01, share.shape))
    return seen((share / share.sum(axis=1, keepdims=True)).tolist(), price.tolist(), name)


def event(market: str, step: float, change: float) -> Event:
    return Event(
        market, "a", ("2026-07-01",), ("2026-07-02",), 1.0, float(np.exp(step)), 0.2, 0.2 * float(np.exp(change))
    )


# Events


def test_a_change_of_5_percent_of_the_lower_price_between_two_days_is_an_event() -> None:
    nan = np.nan
    price = [[1.0, 2.0, 3.0], [1.05, 1.92, nan], [1.05, 1.92, 3.6], [1.0, nan, 3.6]]
    share = [[0.5, 0.3, 0.2], [0.4, 0.6, 0.0], [0.2, 0.5, 0.3], [0.9, 0.0, 0.1]]
    found = events_of(seen(share, price))
    # b falls by 4.2 % of the lower price; c is not offered on the second day: its days are the first and the third.
    told = [(one.provider, one.before, one.day, one.old_price, one.new_price) for one in found]
    assert told == [
        ("a", ("2026-07-01",), "2026-07-02", 1.0, 1.05),
        ("c", ("2026-07-01",), "2026-07-03", 3.0, 3.6),
        ("a", ("2026-07-03",), "2026-07-04", 1.05, 1.0),
    ]
    assert [one.share_before for one in found] == pytest.approx([0.5, 0.2, 0.2])
    assert [one.share_after for one in found] == pytest.approx([0.4, 0.3, 0.9])
    assert found[1].observed == pytest.approx(np.log(1.5))
    assert len(events_of(seen(share, price), least=0.04)) == 4


def test_of_hours_up_to_six_and_three_at_least_stand_on_each_side_at_one_price() -> None:
    hours = [f"2026-07-01T{hour:02}" for hour in range(13)]
    price = np.ones((13, 2))
    price[7:11, 0] = 2.0  # seven hours before, four after; then two, which are too few
    price[11:, 0] = 1.0
    share = np.full((13, 2), 0.5)
    share[7:, 0], share[7:, 1] = 0.2, 0.8
    (found,) = events_of(seen(share.tolist(), price.tolist(), days=hours))
    assert (found.before, found.after) == (tuple(hours[1:7]), tuple(hours[7:11]))
    assert (found.share_before, found.share_after) == pytest.approx((0.5, 0.2))


def test_shares_are_totals_over_totals_and_count_as_no_less_than_a_ten_thousandth() -> None:
    assert event("m", 0.1, 0.0).change_to(0.0) == pytest.approx(np.log(1e-4 / 0.2))
    price = [[1.0, 1.0], [2.0, 1.0]]
    (found,) = events_of(seen([[0.0, 1.0], [0.5, 0.5]], price))
    assert found.observed == pytest.approx(np.log(0.5 / 1e-4))


# What events imply


def test_the_implied_elasticity_is_a_slope_with_errors_that_go_together_within_a_market() -> None:
    events = [event("m", 1.0, -1.0), event("m", 1.0, -1.4), event("n", -1.0, 0.6)]
    found = implied_elasticity(events)
    assert found is not None
    # Slope -(1 + 1.4 + .6) / 3 = -1; x e: 0, -.4, .4, summed by market -.4 and .4, over sum x^2 = 3, times 2 / 1.
    assert found.estimate == pytest.approx(-1.0)
    assert found.error == pytest.approx(np.sqrt(2 * 2 * 0.4**2) / 3)
    assert found.clusters == 2
    assert found.low == pytest.approx(-1.0 - 6.3138 * np.sqrt(0.64) / 3, abs=1e-4)  # Student's, 1 degree of freedom
    alone = implied_elasticity(events[:2])
    assert alone is not None
    assert alone.estimate == pytest.approx(-1.2)
    assert (alone.low, alone.clusters) == (None, 1)
    assert implied_elasticity([]) is None


def test_a_market_is_given_what_the_others_imply() -> None:
    events = [event("m", 1.0, 9.0), event("n", 1.0, -1.0), event("n", -1.0, 1.4), event("o", 1.0, -1.5)]
    given = _of_others(events, "m")
    assert given is not None
    assert given == pytest.approx((-1.3, np.sqrt(2 * 2 * 0.2**2) / 3))  # x e: .3 and -.1, and -.2
    assert _of_others(events, "o") is None  # the others rise with the price
    only = _of_others([*events[:3]], "m")  # one other market: its events stand alone
    assert only is not None
    assert only[1] == pytest.approx(np.sqrt(2 * 2 * 0.2**2) / 2)


def test_scores_as_by_hand() -> None:
    predicted, observed = np.array([1.0, -1.0, 0.5, 0.0]), np.array([2.0, -1.0, -0.5, 0.0])
    found = event_scores(predicted, observed, np.array([1.0, -0.2, 0.3, 0.1]))
    assert (found.sign, found.events) == (0.75, 4)
    assert found.rmse == pytest.approx(np.sqrt(2 / 4))
    assert found.rmse_small == 0.0  # the second and the last: |log 1.25| = .223
    still = event_scores(np.zeros(4), observed, np.ones(4))
    assert (still.sign, still.correlation, still.rmse_small) == (None, None, None)


# What is said


def test_the_verdict_and_the_exit_code_follow_the_scores() -> None:
    events = [event("m", 0.2, -0.2), event("n", -0.2, 0.3)]

    def told(factor: float, **changed: float) -> Backtest:
        changes = dict.fromkeys(METHODS, 0.0)
        predictions = [
            Prediction(one, changes | {"calibrated": factor * one.observed} | changed, -1.0) for one in events
        ]
        return Backtest(markets=("m", "n"), least=0.05, predictions=predictions)

    assert told(0.9).passed
    assert told(0.9).verdict.startswith("The fit predicts what price changes do better than that nothing happens")
    assert "which may be chance" in told(0.9).verdict  # two markets
    assert not told(-1.0).passed
    assert told(-1.0).verdict.startswith("That nothing happens predicts better than the fit (RMSE of log share 0.51")
    assert (
        "but price^-2 does better"
        in replace(
            told(0.5),
            predictions=[
                replace(one, changes={**one.changes, "price^-2": one.event.observed}) for one in told(0.5).predictions
            ],
        ).verdict
    )
    nothing = Backtest(markets=("m",), least=0.05, predictions=[])
    assert not nothing.passed
    assert nothing.verdict.startswith("No price changed by 5 % or more")
    assert nothing.to_dict()["events"] == []


@pytest.mark.slow
def test_markets_that_answer_prices_are_predicted_by_what_others_imply(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, seed in (("north", 1), ("south", 2)):
        write_observations(answering(-1.2, name, seed), tmp_path / name)
    folders = [str(tmp_path / name) for name in ("north", "south")]
    out, page = tmp_path / "backtest.json", tmp_path / "backtest.html"
    assert run(["backtest", *folders, "--shrinkage", "0", "--json", str(out), "--page", str(page)]) == 0
    document = json.loads(out.read_text())
    assert capsys.readouterr().out.startswith("The fit predicts what price changes do better")
    assert document["format"] == "prillm-or/backtest@1"
    assert list(document) == ["format", "events", "scores", "elasticity", "verdict"]
    assert [(one["market"], one["provider"]) for one in document["events"]] == [
        (market, provider) for market in ("north", "south") for provider in "bac"
    ]
    assert document["events"][0].keys() >= {
        *("day", "provider", "old_price", "new_price", "share_before", "share_after", "predicted", "observed")
    }
    scores = document["scores"]
    assert scores["calibrated"]["rmse"] < 0.5 * scores["no-change"]["rmse"]
    assert scores["calibrated"]["sign"] == 1.0
    assert document["elasticity"]["clusters"] == 2
    # With a share s, log shares move by -1.2 (1 - s) a log price.
    assert -1.2 < document["elasticity"]["estimate"] < -0.5
    text = page.read_text(encoding="utf-8")
    assert document["verdict"].split("(")[0] in text.split("Scores")[0]
    assert text.count("predicted change of log share") == 2  # wide and narrow
    frame = po.backtest(folders[0], shrinkage=0, elasticity="-0.8:0.01").to_frame()
    assert list(frame["price^-E"] / np.log(frame["new_price"] / frame["old_price"])) == pytest.approx([-0.8] * 3)
    assert frame["elasticity"].between(-1.6, -0.4).all()


def test_without_an_event_the_command_ends_with_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_observations(seen([[0.5, 0.5]] * 2, [[1.0, 1.0]] * 2), tmp_path / "still")
    assert run(["backtest", str(tmp_path / "still")]) == 1
    assert capsys.readouterr().out.startswith("No price changed by 5 % or more")
    page = backtest_page(po.backtest(tmp_path / "still"))
    assert "No price changed by 5 % or more" in page
    assert "<svg" not in page


def test_what_is_no_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(po.ArgumentError, match="expected at least one"):
        po.backtest([])
    with pytest.raises(po.ArgumentError, match="expected Observations or paths of folders, got int"):
        po.backtest([3])  # type: ignore[list-item]
    with pytest.raises(po.ObservationsError, match="not a folder"):
        po.backtest(tmp_path / "nowhere")
    with pytest.raises(po.ArgumentError, match="expected E or E:SE"):
        po.backtest(tmp_path, elasticity="steep")
    with pytest.raises(po.ArgumentError, match="least"):
        po.backtest(tmp_path, least=-0.1)
