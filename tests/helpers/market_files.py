"""Files of markets: a valid one, and what is said of one that is not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from prillm_or.errors import MarketError
from prillm_or.files.markets import read_market


def valid() -> dict[str, Any]:
    """The market that the files of `data/faults` spoil."""
    return {
        "format": "prillm-or/market@1",
        "name": "fault",
        "leader": {"providers": ["a"], "price_cap": 9},
        "users": [{"id": "u", "demand": 4}, {"id": "v", "demand": 2.5}],
        "providers": [
            {"id": "a", "price": 3, "capacity": 5},
            {"id": "b", "price": 2, "capacity": 6, "value": -1},
            {"id": "c", "price": 1, "capacity": 7, "unit_cost": 0.5},
        ],
        "delays": [[1, 2, 3], [0, 0.5, 1.5]],
    }


def written(folder: Path, document: object, name: str = "market.json") -> Path:
    """The document as a file."""
    path = folder / name
    path.write_text(json.dumps(document))
    return path


def beside(folder: Path, delays: object, name: str = "delays.npy") -> Path:
    """The valid market with its delays in an .npy file; objects are pickled into it."""
    np.save(folder / name, np.asarray(delays), allow_pickle=True)
    return written(folder, valid() | {"delays": {"npy": name}})


def refusal(path: Path) -> list[str]:
    """Lines of the refusal, without the file name that each must start with."""
    with pytest.raises(MarketError) as caught:
        read_market(path)
    lines = str(caught.value).splitlines()
    assert all(line.startswith(f"{path}: ") for line in lines)
    return [line.removeprefix(f"{path}: ") for line in lines]
