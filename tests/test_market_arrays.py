"""Delays in an array beside the market file: what is refused, and what is read."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helpers.market_files import beside, refusal, valid, written
from prillm_or.files.markets import read_market


@pytest.mark.parametrize(
    ("delays", "message"),
    [
        (np.ones((3, 2)), 'delays.npy: "delays.npy": expected shape (2, 3), users by providers, got (3, 2)'),
        (np.ones(6), "expected shape (2, 3), users by providers, got (6,)"),
        (np.ones((2, 3), dtype=bool), "expected float64 numbers, got bool"),
        (np.ones((2, 3), dtype=complex), "expected float64 numbers, got complex128"),
        (np.full((2, 3), "1"), "expected float64 numbers, got <U1"),
        (np.full((2, 3), None), "expected float64 numbers, got object"),
        ([[1, 2, 3], [0, np.nan, 1]], 'delays[1][1]: expected a finite number >= 0, got nan (in "delays.npy")'),
        ([[1, 2, np.inf], [0, 1, 1]], "delays[0][2]: expected a finite number >= 0, got inf"),
        ([[1, 2, 3], [0, -1.0, 1]], "delays[1][1]: expected a finite number >= 0, got -1.0"),
    ],
)
def test_bad_arrays_are_refused(tmp_path: Path, delays: object, message: str) -> None:
    (line,) = refusal(beside(tmp_path, delays))
    assert message in line


def test_a_pickle_in_an_array_is_never_run(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
            return os.mkdir, (str(tmp_path / "sprung"),)

    refusal(beside(tmp_path, np.full((2, 3), Trap())))
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("spoil", [lambda content: content[:-8], lambda content: content + b"x"])
def test_an_array_of_another_length_than_promised_is_refused(tmp_path: Path, spoil: Callable[[bytes], bytes]) -> None:
    path = beside(tmp_path, np.ones((2, 3)))
    (tmp_path / "delays.npy").write_bytes(spoil((tmp_path / "delays.npy").read_bytes()))
    (line,) = refusal(path)
    assert "expected 48 bytes of numbers" in line


def test_a_header_that_lies_about_its_size_costs_no_memory(tmp_path: Path) -> None:
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": "<f8", "fortran_order": False, "shape": (2, 10**12)})
    (tmp_path / "delays.npy").write_bytes(stream.getvalue())
    (line,) = refusal(written(tmp_path, valid() | {"delays": {"npy": "delays.npy"}}))
    assert "expected shape (2, 3)" in line


def test_delays_may_not_leave_the_folder_by_a_link(tmp_path: Path) -> None:
    (tmp_path / "inside").mkdir()
    np.save(tmp_path / "outside.npy", np.ones((2, 3)))
    (tmp_path / "inside" / "delays.npy").symlink_to(tmp_path / "outside.npy")
    (line,) = refusal(written(tmp_path / "inside", valid() | {"delays": {"npy": "delays.npy"}}))
    assert "leaves the folder of the market file" in line


def test_delays_may_lie_in_a_folder_below(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    np.save(tmp_path / "below" / "delays.npy", np.ones((2, 3)))
    market = read_market(written(tmp_path, valid() | {"delays": {"npy": "below/../below/delays.npy"}})).market
    np.testing.assert_array_equal(market.delay, np.ones((2, 3)))


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["<f8", ">f8", "f4", "i8", "u2"])
def test_arrays_of_any_real_type_and_order_are_read(tmp_path: Path, dtype: str, order: Any) -> None:
    delays = np.arange(6).reshape(2, 3)
    market = read_market(beside(tmp_path, np.asarray(delays.astype(dtype), order=order))).market
    np.testing.assert_array_equal(market.delay, delays)


def test_the_hash_covers_the_json_and_the_array(tmp_path: Path) -> None:
    path = beside(tmp_path, np.ones((2, 3)))
    expected = hashlib.sha256(path.read_bytes() + (tmp_path / "delays.npy").read_bytes()).hexdigest()
    assert read_market(path).sha256 == expected
    zipped = tmp_path / "market.json.gz"
    zipped.write_bytes(gzip.compress(path.read_bytes()))
    assert read_market(zipped).sha256 == expected
