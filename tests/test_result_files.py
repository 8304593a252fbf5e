"""Results and other documents as JSON: the fields of the contract, and where they are written."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from helpers.answers import result_at
from helpers.markets import make_market
from helpers.sold import price_list
from prillm_or.market.synthetic import generate
from prillm_or.output.saving import write_json
from prillm_or.result import Caveat, Certificate, Method, Result, Status, Times, Today, result_from_json
from prillm_or.solving.recheck import recheck
from prillm_or.solving.run import solve


def test_writing_follows_a_link_and_never_replaces_a_device(tmp_path: Path) -> None:
    (tmp_path / "link.json").symlink_to(tmp_path / "target.json")
    write_json({"a": 1}, tmp_path / "link.json")
    assert (tmp_path / "link.json").is_symlink()
    assert json.loads((tmp_path / "target.json").read_text()) == {"a": 1}
    (tmp_path / "null.json").symlink_to(os.devnull)
    write_json({"a": 1}, tmp_path / "null.json")
    assert Path(os.devnull).is_char_device()


@pytest.mark.parametrize("document", [{"a": 1}, [{"a": 1}], [{"a": 1}, {"b": 2}], []])
def test_a_document_is_written_as_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], document: dict[str, int] | list[dict[str, int]]
) -> None:
    write_json(document, tmp_path / "out.json")
    write_json(document, "-")
    assert json.loads((tmp_path / "out.json").read_text()) == document
    assert json.loads(capsys.readouterr().out) == document


def test_a_result_has_the_fields_of_the_contract_in_their_order() -> None:
    result = Result(
        instance="coding-13",
        instance_sha256="00ff",
        today=Today({"a": 3.0}, 151.2),
        method=Method("highs", "1.16.0", model="kkt-bigm"),
        status=Status.FEASIBLE,
        prices={"a": np.float64(2.358877)},
        profit=174.0,
        upper_bound=float("inf"),
        gap=None,
        loads={"a": 73.78},
        certificate=Certificate(2.1e-13, 3.0e-14),
        time_s=Times(total=1.0),
        seed=0,
        threads=1,
        version="0.1.0",
        stats={"pieces": 3, "expected_profit": np.float64(1.5)},
        warnings=(Caveat("loss", "this price loses money"),),
        notes=("for people",),
    )
    assert json.dumps(result.to_dict()) == (
        '{"format": "prillm-or/result@1", "instance": "coding-13", "instance_sha256": "00ff", '
        '"today": {"prices": {"a": 3.0}, "profit": 151.2}, '
        '"method": {"solver": "highs", "solver_version": "1.16.0", "model": "kkt-bigm", "abstraction": null, '
        '"keep": null}, "status": "feasible", "prices": {"a": 2.358877}, "profit": 174.0, "upper_bound": null, '
        '"gap": null, "loads": {"a": 73.78}, "certificate": {"kkt_residual": 2.1e-13, "max_regret": 3e-14}, '
        '"time_s": {"total": 1.0, "read": 0.0, "build": 0.0, "abstract": 0.0, "solve": 0.0, "verify": 0.0}, '
        '"seed": 0, "threads": 1, "version": "0.1.0", "stats": {"pieces": 3, "expected_profit": 1.5}, '
        '"warnings": [{"code": "loss", "text": "this price loses money"}]}'
    )
    assert replace(result, today=None).to_dict()["today"] is None


def test_a_result_is_read_as_it_was_written_also_without_stats_and_warnings() -> None:
    result = solve(replace(generate(3, 3, "uniform", 0), value=np.zeros(3)))
    assert [warning.code for warning in result.warnings] == ["no-values"]
    document = json.loads(json.dumps(result.to_dict()))
    assert result_from_json(document) == replace(result, notes=(), context=None)
    assert result.stats["pieces"] >= 1
    del document["stats"], document["warnings"]  # as files had none before
    assert (result_from_json(document).stats, result_from_json(document).warnings) == ({}, ())


def test_a_result_of_price_lists_has_them_by_component_with_what_is_billed() -> None:
    result = result_at(price_list(), [1.5, 3.0])  # P = 3, x = 2
    document = result.to_dict()
    assert list(document)[6:12] == ["prices", "profit", "upper_bound", "gap", "loads", "billed"]
    assert document["today"] == {"prices": {"own": {"input": 1.0, "output": 2.0}}, "profit": pytest.approx(3.75)}
    assert document["prices"] == {"own": {"input": 1.5, "output": 3.0}}
    assert document["loads"] == {"own": pytest.approx(2.0)}
    assert document["billed"] == {"own": {"input": pytest.approx(2.0), "output": pytest.approx(1.0)}}
    assert result.profit == pytest.approx(2 * 1.25 + 1 * 2.5)
    assert {one.name: (one.value, one.today) for one in result.decided} == {
        "own.input": (1.5, 1.0),
        "own.output": (3.0, 2.0),
    }
    with pytest.raises(AttributeError, match="2 prices"):
        _ = result.price


def test_a_result_of_factors_has_them_beside_the_prices_that_follow() -> None:
    result = result_at(price_list(decides="factor"), [1.5])
    document = result.to_dict()
    assert list(document)[6:9] == ["prices", "factors", "profit"]
    assert (document["prices"], document["factors"]) == ({"own": {"input": 1.5, "output": 3.0}}, {"own": 1.5})
    assert document["today"]["factors"] == {"own": 1.0}
    assert (result.price, result.decided[0].today) == (1.5, 1.0)
    single = result_at(make_market(decides="factor"), [1.5]).to_dict()
    assert (single["prices"], single["factors"], single["loads"].keys()) == ({"p1": 1.5}, {"p1": 1.5}, {"p1"})
    assert "billed" not in single


def test_the_one_component_that_a_leader_decides_is_the_price_found() -> None:
    result = result_at(price_list(decides=("output",)), [3.0])
    assert result.prices == {"own": {"input": 1.0, "output": 3.0}}
    assert (result.price, result.decided[0].name) == (3.0, "own.output")


@pytest.mark.parametrize("decides", ["components", "factor", ("output",)])
def test_results_of_price_lists_are_read_as_they_were_written(decides: str | tuple[str, ...]) -> None:
    market = price_list(decides=decides)
    result = replace(result_at(market, market.current * 1.25), instance_sha256="00ff")
    again = result_from_json(json.loads(json.dumps(result.to_dict())))
    assert again == replace(result, notes=(), context=None)
    recheck(market, again, 1e-4)
    for change in ({"billed": {"own": {"input": 9.0, "output": 1.0}}}, {"billed": None}, {"prices": {"own": 1.0}}):
        with pytest.raises((ValueError, AttributeError)):
            recheck(market, replace(again, **change), 1e-4)
    if decides == "factor":
        with pytest.raises(ValueError, match="not those of the market at what the leader decides"):
            recheck(market, replace(again, factors={"own": 2.0}), 1e-4)


def test_a_result_of_price_lists_is_a_frame_with_a_row_for_each_component() -> None:
    frame = result_at(price_list(decides="factor"), [1.5]).to_frame()
    assert frame.index.names == ["provider", "component"]
    assert dict(frame.loc[("own", "output"), :].items()) == {
        "price": 3.0,
        "today": 2.0,
        "billed": pytest.approx(1.0),
        "factor": 1.5,
    }
