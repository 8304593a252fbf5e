"""Numbers in words: a zero has no sign, whatever was rounded to it."""

from __future__ import annotations

import pytest

from prillm_or.output.numbers import figure, gap_figure, percent, rounded_percent, signed


@pytest.mark.parametrize("zero", [0.0, -0.0])
def test_a_zero_has_no_sign(zero: float) -> None:
    assert (figure(zero), signed(zero), percent(zero, 0), percent(zero)) == ("0", "0", "0 %", "0.00 %")
    assert (rounded_percent(zero), rounded_percent(zero, sign=True)) == ("0 %", "0 %")


def test_what_is_rounded_to_zero_has_no_sign() -> None:
    assert (percent(-1e-9), percent(-0.004, 0), percent(-0.006)) == ("0.00 %", "0 %", "-0.60 %")


def test_a_gap_of_rounding_is_none() -> None:
    assert [gap_figure(gap) for gap in (2e-16, -2e-16, 9e-14, 2e-13, 0.012345, None)] == ["0"] * 3 + [
        "2e-13",
        "0.012",
        "-",
    ]
