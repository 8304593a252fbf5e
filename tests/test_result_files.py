"""Results and other documents as JSON: the fields of the contract, and where they are written."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from prillm_or.market.synthetic import generate
from prillm_or.output.saving import write_json
from prillm_or.result import Caveat, Certificate, Method, Result, Status, Times, Today, result_from_json
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
