"""The importer: small tables of the marketplace's shape, worked out by hand; faults; the command."""

from __future__ import annotations

import csv
import gzip
import io
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helpers.commands import in_process
from prillm_or.backtesting.events import events_of
from prillm_or.calibration.observation_files import read_observations
from prillm_or.calibration.observations import Leader, market_of
from prillm_or.calibration.openrouter.folders import import_openrouter, write_imported
from prillm_or.cli import run
from prillm_or.errors import ObservationsError, PrillmError, UnavailableError

Rows = list[tuple[object, ...]]

ACTIVITY, EFFECTIVE, ENDPOINTS, HOURLY, LISTS, CEILINGS, SHARES, APPS, WEEKLY, CHANGES = (
    "openrouter-pricing-data/model_activity_daily.csv.gz",
    "openrouter-pricing-data/effective_pricing_by_provider.csv.gz",
    "openrouter-pricing-data/endpoints_daily.csv.gz",
    "openrouter-pricing-data/perf_hourly_top60.csv.gz",
    "openrouter-pricing-data/models_daily.csv.gz",
    "ai-routing/endpoint_reject_capacity.csv.gz",
    "ai-routing/provider_shares_2026-07-07_2026-07-15.csv.gz",
    "ai-routing/top_apps_by_model_2026-07-07.csv",
    "llm-market-data/coding_apps_weekly.csv",
    "ai-routing/endpoint_price_changes_2026-07.csv",
)
COLUMNS = {
    ACTIVITY: "permaslug variant model_slug date total_prompt_tokens total_completion_tokens request_count tool_calls",
    EFFECTIVE: "scrape_date permaslug variant provider_name provider_slug effective_input_price "
    "effective_output_price total_tokens",
    ENDPOINTS: "scrape_date permaslug variant endpoint_id provider_slug p50_latency request_count success_count "
    "stats_window_minutes",
    HOURLY: "scraped_at permaslug endpoint_id provider_slug request_count success_count stats_window_minutes "
    "price_prompt price_completion p50_latency",
    LISTS: "scrape_date permaslug variant prompt_price completion_price",
    CEILINGS: "endpoint_uuid capacity_ceiling_rpm",
    SHARES: "dt model_permaslug variant provider_name effective_input_price effective_output_price total_tokens",
    APPS: "dt scope model_permaslug variant app_id app_title app_slug app_categories total_tokens total_requests",
    WEEKLY: "week_start app_id app_title total_tokens",
    CHANGES: "changed_at_run_ts model_id provider_name o n",
}

SMALL, LARGE = "lab/small-20260101", "lab/large-20260101"


def tables() -> dict[str, Rows]:
    """Tables in which every figure of the result is a round number."""
    activity: Rows = [
        (model, "standard", model[:-9], f"2026-07-{day:02}", 900e9, 100e9, 1e9, 0)
        for model in (SMALL, LARGE)
        for day in (1, 2, 20, 21, 22)
    ]
    effective: Rows = [("2026-07-20", SMALL, "standard", "A", "a", 1, 11, 1e9)]  # too little of its day
    for day in (21, 22):
        effective += [
            # In two regions: 0.5 x 1/4 + 2.5 x 3/4 = 2.
            (f"2026-07-{day}", SMALL, "standard", "A (US)", "a", 0.5, 0.5, 100e9),
            (f"2026-07-{day}", SMALL, "standard", "A (EU)", "a", 2.5, 2.5, 300e9),
            (f"2026-07-{day}", SMALL, "standard", "B", "b", 1, 11, 300e9),  # 0.9 x 1 + 0.1 x 11 = 2
            (f"2026-07-{day}", SMALL, "standard", "C", "c", 2, 2, 100e9),
            (f"2026-07-{day}", SMALL, "free", "F", "f", 0, 0, 500e9),
            (f"2026-07-{day}", SMALL, "standard", "Z", "z", 0, 0, 0),
            # Two providers are too few for a panel.
            (f"2026-07-{day}", LARGE, "standard", "A", "a", 4, 4, 500e9),
            (f"2026-07-{day}", LARGE, "standard", "B", "b", 4, 4, 500e9),
        ]
    effective.append(("2026-07-22", SMALL, "standard", "D", "d", 2, 2, 200e9))
    endpoints: Rows = []
    for day in (20, 21, 22):
        endpoints += [
            (f"2026-07-{day}", SMALL, "standard", "a1", "a", 1000, 300, 300, 30),
            (f"2026-07-{day}", SMALL, "standard", "a2", "a", 3000, 300, "", 30),
            (f"2026-07-{day}", SMALL, "standard", "b1", "b", 500, 60 * (day - 19), 60 * (day - 19), 30),
            (f"2026-07-{day}", SMALL, "standard", "c1", "c", "", "", "", ""),
            (f"2026-07-{day}", LARGE, "standard", "l1", "a", 2000, 30, 30, 30),
        ]
    endpoints.append(("2026-07-22", SMALL, "standard", "d1", "d", 4000, 900, 900, 30))
    hourly: Rows = [
        (f"2026-07-20T{hour:02}:00:00+00:00", model, endpoint, provider, count, count, 30, 1e-6, 11e-6, 500)
        for hour, count in ((1, 60), (2, 120), (3, 60))
        for model, endpoint, provider in ((SMALL, "b1", "b"), (LARGE, "l1", "a"))
    ]
    lists: Rows = [
        ("2026-07-17", SMALL, "standard", 0.5e-6, 10e-6),
        ("2026-07-17", LARGE, "standard", 0.9e-6, 10e-6),
        ("2026-07-17", "openrouter/auto", "standard", -1, -1),
    ]
    shares: Rows = [
        ("2026-07-07", SMALL, "standard", "A", 1, 11, 1e9),
        ("2026-07-07", LARGE, "standard", "A", 4, 4, 1e9),
    ]
    apps: Rows = [
        ("2026-07-07", "global", "", "", "1", "One", "", "", 9e12, 9e9),
        ("2026-07-07", "model", SMALL, "standard", "1", "The One's App", "", "cli-agent|roleplay", 60e9, 60e6),
        ("2026-07-07", "model", LARGE, "standard", "1", "The One's App", "", "cli-agent|roleplay", 240e9, 240e6),
        ("2026-07-07", "model", LARGE, "standard", "2", "Two", "two", "", 120e9, 240e6),
        ("2026-07-07", "model", LARGE, "free", "3", "Three", "", "", 9e12, 9e9),
    ]
    weekly: Rows = [
        ("2026-06-22", "2", "Two", 7e9),
        ("2026-06-29", "1", "One", 5e9),
        ("2026-06-29", "Others", "Others", 9e12),
        ("2026-07-06", "9", "Later", 9e12),
    ]
    ceilings: Rows = [("a1", 1000), ("a2", 500), ("b1", ""), ("elsewhere", 7)]
    changes: Rows = [("20260707T050913Z", "lab/small", "A", 11e-6, 12e-6)]
    filled: Sequence[Rows] = (activity, effective, endpoints, hourly, lists, ceilings, shares, apps, weekly, changes)
    return dict(zip(COLUMNS, filled, strict=True))


def raw(folder: Path, changed: dict[str, Rows] | None = None) -> Path:
    for name, rows in (tables() | (changed or {})).items():
        text = io.StringIO()
        csv.writer(text).writerows([COLUMNS[name].split(), *rows])
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress(text.getvalue().encode()) if name.endswith(".gz") else text.getvalue().encode())
    return folder


def csv_rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return raw(tmp_path / "raw")


def test_providers_within_a_model_as_by_hand(folder: Path) -> None:
    (one,) = import_openrouter(folder, ["providers"])
    seen = one.observations
    assert (one.kind, seen.name, seen.user_ids) == ("providers", "lab-small-20260101", ("all-users",))
    assert seen.days == ("2026-07-21", "2026-07-22")
    assert seen.provider_ids == ("a", "b", "c", "d")
    # Shares of 800e9 and 1000e9 scraped tokens, times the 1000e9 of the whole day.
    np.testing.assert_allclose(seen.flow[:, 0], [[500, 375, 125, 0], [400, 300, 100, 200]])
    np.testing.assert_allclose(seen.price, np.array([[2, 2, 2, np.nan], [2, 2, 2, 2]]))
    # A million tokens are 1000 requests; a: (300 x 1 s + 300 x 3 s) / 600; c: never seen, the median 2 s of
    # 2, 0.5, 2, 0.5, 4 s on all days of all providers.
    np.testing.assert_allclose(seen.delay[1, 0], [2000.0, 500.0, 2000.0, 4000.0])
    assert np.isnan(seen.delay[0, 0, 3])
    # Requests per minute: a: ceilings 1500; b: 120 / 30 before the panel; d: 900 / 30 on its first day; c: the median.
    # At 1000 tokens each and a mean price of 2: x 1440 x 1000 / 1e9 / 2.
    np.testing.assert_allclose(seen.capacity[1], np.array([1500, 4, 30, 30]) * 0.72e-3)
    assert seen.leader == Leader(("a",), (2.0,))


def test_the_readme_says_what_is_observed_derived_imputed_and_chosen(folder: Path) -> None:
    panel, *markets = import_openrouter(folder)
    for one in (panel, *markets):
        parts = [line[3:] for line in one.about.readme("a").splitlines() if line.startswith("## ")]
        assert parts == ["Observed", "Derived", "Imputed", "Chosen", "Sources"]
        assert (
            "`openrouter-pricing-data/model_activity_daily.csv.gz`, 10 rows, 2026-07-01 to 2026-07-22" in one.about.text
        )
    assert "time to first token of 2 of 7 (day, provider)" in panel.about.text
    assert (
        "the router's ceiling: 1; a sweep before the panel: 1; its first sweep within the panel: 1; "
        in panel.about.text
    )
    assert "nothing: median of the other providers: 1" in panel.about.text
    assert all("1 of 4 (app, model) are not listed and taken as zero" in one.about.text for one in markets[:2])


def test_apps_choosing_among_models_as_by_hand(folder: Path) -> None:
    made = {one.observations.name: one for one in import_openrouter(folder, ["apps"])}
    # Both models are listed below 1 USD; one app plays roles; both apps code, `Later` only after the snapshot.
    assert list(made) == ["economy-8", "coding-13", "roleplay-10", "openrouter-40"]
    seen = made["coding-13"].observations
    assert (seen.days, seen.leader) == (("2026-07-07",), None)
    assert (seen.user_ids, seen.provider_ids) == (("the-ones-app", "two"), ("large", "small"))
    np.testing.assert_allclose(seen.flow[0], [[8, 2], [4, 0]])
    np.testing.assert_allclose(seen.price[0], [4, 2])
    # 1000 and 2000 requests per 1e6 tokens; of 3060 requests to small, 360 wait 0.5 s, 900 each 1, 3, 4 s.
    np.testing.assert_allclose(seen.delay[0], [[2000, 3000], [4000, 6000]])
    # Peak to mean: 98 % quantile of 60, 60, 120 over their mean: 117.6 / 80 for both.
    np.testing.assert_allclose(seen.capacity[0], np.array([12 / 4, 2 / 2]) * 117.6 / 80)
    assert "no leader, since step-3.7-flash is not among the models" in made["coding-13"].about.leader
    assert made["roleplay-10"].observations.user_ids == ("the-ones-app",)


def test_prices_that_changed_by_the_hour_as_by_hand(tmp_path: Path) -> None:
    often: Rows = [
        (f"2026-07-21T{hour}:00+00:00", SMALL, endpoint, provider, count, count, 30, price, price, 500)
        for hour, endpoint, provider, count, price in (
            ("01:00", "a1", "a", 100, 2e-6),
            ("01:00", "b1", "b", 300, 2e-6),
            ("02:00", "a1", "a", 900, 9e-6),  # the earlier of two sweeps in an hour
            ("02:30", "a1", "a", 200, 1e-6),
            ("02:30", "b1", "b", 200, 2e-6),
            ("02:30", "c1", "c", "", 2e-6),  # no requests counted
            ("03:00", "b1", "b", 400, 2e-6),
            ("04:00", "a1", "a", 300, 1e-6),
            ("04:00", "b1", "b", 100, 2e-6),
        )
    ]
    (one,) = import_openrouter(raw(tmp_path / "raw", {HOURLY: often}), ["hourly"])
    seen = one.observations
    assert (one.kind, seen.name, seen.provider_ids) == ("hourly", "lab-small-20260101", ("b", "a"))
    assert seen.days == ("2026-07-21T01", "2026-07-21T02", "2026-07-21T03", "2026-07-21T04")
    # Shares of the requests times the 1000e9 tokens of the day.
    np.testing.assert_allclose(seen.flow[:, 0], [[750, 250], [500, 500], [1000, 0], [250, 750]])
    np.testing.assert_allclose(seen.price, np.array([[2, 2], [2, 1], [2, np.nan], [2, 1]]))
    # Flows over the first price, 2.
    np.testing.assert_allclose(seen.capacity, np.array([[375, 125], [250, 250], [500, np.nan], [125, 375]]))
    np.testing.assert_allclose(seen.delay[0, 0], [500, 500])
    assert events_of(seen) == []  # one hour and two are too few


def test_prices_at_midnights_move_where_the_log_says_so(tmp_path: Path) -> None:
    shares: Rows = [
        (f"2026-07-{day:02}", SMALL, "standard", name, 1, price, tokens)
        for name, prices in (("A (EU)", (10, 12, 12, 8)), ("B", (11, 14, 11, 11)))
        for day, price, tokens in zip((20, 21, 22, 23), prices, (1e9, 3e9, 1e9, 1e9), strict=True)
    ]
    changes: Rows = [
        ("20260720T050000Z", "lab/small", "A", 10e-6, 12e-6),
        ("20260720T060000Z", "lab/small", "A", 12e-6, 13e-6),
        ("20260722T050000Z", "lab/small", "A", 12e-6, 8e-6),
    ]
    (one,) = import_openrouter(raw(tmp_path / "raw", {SHARES: shares, CHANGES: changes}), ["logged"])
    seen = one.observations
    assert (one.kind, seen.provider_ids) == ("logged", ("A (EU)", "B"))
    assert seen.days == ("2026-07-20", "2026-07-21", "2026-07-22")  # of the 23rd no day's total is known
    # What B was paid differs from day to day, but the log holds no change of its price: the median.
    np.testing.assert_allclose(seen.price, [[10, 11], [12, 11], [12, 11]])
    np.testing.assert_allclose(seen.flow[:, 0], 500)
    assert [(change.provider, change.day) for change in events_of(seen)] == [("A (EU)", "2026-07-21")]
    write_imported([one], tmp_path / "out", components=True)
    assert read_observations(tmp_path / "out" / "logged" / seen.name).days == seen.days


def test_a_known_model_leads_at_its_list_price(tmp_path: Path) -> None:
    renamed: Rows = [(*row[:2], str(row[2]).replace("large", "minimax-m3"), *row[3:]) for row in tables()[ACTIVITY]]
    made = import_openrouter(raw(tmp_path / "raw", {ACTIVITY: renamed}), ["apps"])
    seen = made[0].observations
    assert seen.leader is not None
    assert seen.leader.providers == ("minimax-m3",)
    assert seen.leader.price_cap == pytest.approx((0.9 * 0.9 + 0.1 * 10,))
    assert market_of(seen, seen.days[0]).leader_ids == ("minimax-m3",)


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_folders_are_written_and_read_back(tmp_path: Path, folder: Path, form: Any) -> None:
    made = import_openrouter(folder)
    write_imported(made, tmp_path / "out", form)
    for one in made:
        path = tmp_path / "out" / one.kind / one.observations.name
        again = read_observations(path)
        assert again.user_ids == one.observations.user_ids
        np.testing.assert_array_equal(again.flow, one.observations.flow)
        np.testing.assert_array_equal(again.capacity, one.observations.capacity)
        assert (path / "README.md").read_text(encoding="utf-8") == one.about.readme(one.observations.name)
        assert read_observations(path).description == one.about.text
        assert "No licence is stated" in one.about.text
    contents = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    assert "| providers/lab-small-20260101 | 2 | 1 | 4 | 7 | 1000 |" in contents


@pytest.mark.parametrize("kind", ["providers", "apps"])
def test_components_are_kept_where_they_are_asked_for_and_nothing_else_changes(
    tmp_path: Path, folder: Path, kind: Any
) -> None:
    made = import_openrouter(folder, [kind])
    write_imported(made, tmp_path / "blended")
    write_imported(made, tmp_path / "apart", components=True)
    for one in made:
        blended, apart = (tmp_path / name / kind / one.observations.name for name in ("blended", "apart"))
        assert {path.name for path in apart.iterdir()} - {path.name for path in blended.iterdir()} == {"mixes.csv"}
        for same in ("flows.csv", "delays.csv", "folder.json"):
            assert (apart / same).read_bytes() == (blended / same).read_bytes()
        before, after = ((path / "README.md").read_text(encoding="utf-8") for path in (blended, apart))
        assert after.startswith(f"{before}\n`price_input` and `price_output` are what was paid")
        table, longer = (csv_rows(path / "providers.csv") for path in (blended, apart))
        assert list(longer[0]) == ["day", "provider", "price", "capacity", "price_input", "price_output"]
        assert [{name: row[name] for name in table[0]} for row in longer] == table


def test_prices_by_component_and_mixes_as_by_hand(tmp_path: Path, folder: Path) -> None:
    write_imported(import_openrouter(folder), tmp_path / "out", components=True)
    panel = csv_rows(tmp_path / "out" / "providers" / "lab-small-20260101" / "providers.csv")
    found = {(row["day"], row["provider"]): (float(row["price_input"]), float(row["price_output"])) for row in panel}
    # Two regions of a: 0.5 x 1/4 + 2.5 x 3/4 = 2 on both sides; b: 1 and 11. A tenth of the tokens is output.
    assert found["2026-07-21", "a"] == pytest.approx((2, 2))
    assert found["2026-07-21", "b"] == pytest.approx((1, 11))
    assert ("2026-07-21", "d") not in found
    for row in panel:
        blend = 0.9 * float(row["price_input"]) + 0.1 * float(row["price_output"])
        assert float(row["price"]) == pytest.approx(blend, rel=1e-12)
    mixes = csv_rows(tmp_path / "out" / "providers" / "lab-small-20260101" / "mixes.csv")
    assert mixes == [  # the same on both days
        {"user": "all-users", "component": "input", "share": "0.9"},
        {"user": "all-users", "component": "output", "share": "0.1"},
    ]


def test_what_is_written_by_component_is_read_and_comes_to_the_same_price(tmp_path: Path, folder: Path) -> None:
    made = import_openrouter(folder)
    write_imported(made, tmp_path / "out", components=True)
    for one in made:
        seen = read_observations(tmp_path / "out" / one.kind / one.observations.name)
        assert seen.components == ("input", "output")
        np.testing.assert_array_equal(seen.flow, one.observations.flow)
        if one.kind == "providers":  # an app's mix is not that by which the price of a model is blended
            np.testing.assert_allclose(seen.paid[:, 0], one.observations.price, rtol=1e-12)


def test_an_app_asks_for_what_the_users_of_its_models_do(tmp_path: Path) -> None:
    thinks: Rows = [
        (*row[:4], *((500e9, 500e9) if row[0] == LARGE else row[4:6]), *row[6:]) for row in tables()[ACTIVITY]
    ]
    made = import_openrouter(raw(tmp_path / "raw", {ACTIVITY: thinks}), ["apps"])
    write_imported(made, tmp_path / "out", components=True)
    mixes = csv_rows(tmp_path / "out" / "apps" / "coding-13" / "mixes.csv")
    output = {row["user"]: float(row["share"]) for row in mixes if row["component"] == "output"}
    # 8 of 10 tokens of the one go to the large model, half of whose tokens are output, of the small a tenth.
    assert output == pytest.approx({"the-ones-app": 0.42, "two": 0.5})


def test_mixes_that_vary_are_dated(tmp_path: Path) -> None:
    varied: Rows = [(*row[:5], 100e9 + 100e9 * (row[3] == "2026-07-22"), *row[6:]) for row in tables()[ACTIVITY]]
    write_imported(
        import_openrouter(raw(tmp_path / "raw", {ACTIVITY: varied}), ["providers"]), tmp_path / "out", components=True
    )
    mixes = csv_rows(tmp_path / "out" / "providers" / "lab-small-20260101" / "mixes.csv")
    output = {row["day"]: float(row["share"]) for row in mixes if row["component"] == "output"}
    assert output == pytest.approx({"2026-07-21": 0.1, "2026-07-22": 2 / 11})


def test_all_faults_of_all_tables_are_told_and_nothing_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spoilt = tables()
    spoilt[ACTIVITY][0] = (*spoilt[ACTIVITY][0][:4], -1, *spoilt[ACTIVITY][0][5:])
    spoilt[WEEKLY].append(spoilt[WEEKLY][0])
    spoilt[SHARES] = []
    folder = raw(tmp_path / "raw", spoilt)
    (folder / CEILINGS).unlink()
    (folder / HOURLY).write_bytes(b"no gzip")
    assert run(["import-openrouter", str(folder), "--out", str(tmp_path / "out")]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert all(line.startswith(f"{folder}: ") for line in lines)
    for message in (
        "model_activity_daily.csv.gz: row 2, total_prompt_tokens: expected a finite number >= 0, got -1",
        'coding_apps_weekly.csv: row 6, week_start, app_id: "2026-06-22", "2" is in row 2 already; keep one',
        "provider_shares_2026-07-07_2026-07-15.csv.gz: no rows; expected at least one",
        "ai-routing/endpoint_reject_capacity: missing; expected ai-routing/endpoint_reject_capacity.csv or ",
        "perf_hourly_top60.csv.gz: not a whole gzip file",
    ):
        assert any(message in line for line in lines)
    assert len(lines) == 5
    assert not (tmp_path / "out").exists()


def test_tables_of_which_nothing_can_be_made_are_refused(tmp_path: Path) -> None:
    few = raw(tmp_path / "few", {EFFECTIVE: [row for row in tables()[EFFECTIVE] if row[3] != "C"]})
    with pytest.raises(ObservationsError, match="no model has 3 providers with tokens and a price on each of 2 days"):
        import_openrouter(few, ["providers"])
    none = raw(tmp_path / "none", {APPS: tables()[APPS][:1]})
    with pytest.raises(ObservationsError, match="no market has an app and two models"):
        import_openrouter(none, ["apps"])
    with pytest.raises(ObservationsError, match="not a folder"):
        import_openrouter(tmp_path / "nowhere")


def test_a_model_of_which_no_delay_or_capacity_is_known_is_left_out(tmp_path: Path) -> None:
    others: Rows = [row for row in tables()[ENDPOINTS] if row[1] == LARGE]
    with pytest.raises(ObservationsError, match="no model has 3 providers"):
        import_openrouter(raw(tmp_path / "raw", {ENDPOINTS: others}), ["providers"])


def test_one_part_needs_its_own_tables_only(folder: Path) -> None:
    for name in (LISTS, SHARES, APPS, WEEKLY):
        (folder / name).unlink()
    assert len(import_openrouter(folder, ["providers"])) == 1
    with pytest.raises(ObservationsError, match="top_apps_by_model_\\*: missing"):
        import_openrouter(folder, ["apps"])


def test_without_pandas_the_way_out_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(UnavailableError, match=r"pip install 'prillm-or\[calibrate\]'"):
        import_openrouter(folder)


def test_what_is_there_is_not_overwritten(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(PrillmError, match="there is something in this folder"):
        write_imported(import_openrouter(folder), folder)
    assert run(["import-openrouter", str(folder), "--out", str(tmp_path / "none" / "out")]) == 2


@pytest.mark.wheel
def test_the_command_in_a_real_process(tmp_path: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    command = ("import-openrouter", str(folder), "--out", str(out))
    done = in_process(*command)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"{out}: 5 observation folders" in " ".join(done.stdout.split())
    made = [str(path) for path in (*(out / "providers").iterdir(), *(out / "apps").iterdir())]
    assert run(["validate", *made]) == 0
    capsys.readouterr()
    assert run(command) == 2
    again = capsys.readouterr()
    assert again.out == ""
    assert "there is something in this folder" in again.err
    assert run([*command[:-1], str(tmp_path / "apart"), "--components", "--part", "providers"]) == 0
    assert (tmp_path / "apart" / "providers" / "lab-small-20260101" / "mixes.csv").is_file()
