"""Backtests read from JSON: the verdict on price events, for the report of a fit."""

from __future__ import annotations

import os
from typing import Literal

from pydantic import ConfigDict

from prillm_or.errors import PrillmError, checked_path
from prillm_or.files.documents import read_fields
from prillm_or.market.schema import Part, Text


class BacktestError(PrillmError):
    """A file that does not hold a backtest. Remedy: it names each field; give the --json of a `backtest`."""


class _BacktestFile(Part):
    """Fields beyond those that are needed are let through: a backtest holds its events and more."""

    model_config = ConfigDict(strict=True, extra="ignore", allow_inf_nan=False, defer_build=True)

    format: Literal["prillm-or/backtest@1"]
    verdict: Text


def read_verdict(path: str | os.PathLike[str]) -> str:
    """What a backtest says of the response to price, in a sentence.

    Raises
    ------
    BacktestError
        When the file cannot be read or lacks what is needed; it lists every fault.
    """
    return read_fields(_BacktestFile, checked_path("backtest", path), BacktestError).verdict
