"""Folders of observations: a small one, and what is said of one that is not valid."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from prillm_or.calibration.observation_files import read_observations
from prillm_or.errors import ObservationsError

# Two users, three providers, two days; v is there on the second day only, c is offered on the first only.
FLOWS = """day,user,provider,flow
2026-07-01,u,a,3
2026-07-01,u,b,1
2026-07-02,u,b,2
2026-07-02,v,a,0.5
"""
PROVIDERS = """day,provider,price,capacity
2026-07-01,a,1,10
2026-07-01,b,2,20
2026-07-01,c,3,30
2026-07-02,a,1.5,10
2026-07-02,b,2,25
"""
DELAYS = """user,provider,delay
u,a,1
u,b,2
u,c,3
v,a,4
v,b,5
"""
BESIDE: dict[str, Any] = {"leader": {"providers": ["a"], "price_cap": 9}, "units": {"currency": "EUR"}}
"""What `folder.json` holds."""

TABLES = {"flows.csv": FLOWS, "providers.csv": PROVIDERS, "delays.csv": DELAYS}


def folder_of(path: Path, **changed: str) -> Path:
    """A valid folder, but for the changed tables."""
    path.mkdir()
    for name, text in (TABLES | {f"{stem}.csv": text for stem, text in changed.items()}).items():
        (path / name).write_text(text)
    (path / "folder.json").write_text(json.dumps(BESIDE))
    return path


def refusal(folder: Path) -> list[str]:
    """Lines of the refusal, without the folder that each must start with."""
    with pytest.raises(ObservationsError) as caught:
        read_observations(folder)
    lines = str(caught.value).splitlines()
    assert all(line.startswith(f"{folder}: ") for line in lines)
    return [line.removeprefix(f"{folder}: ") for line in lines]
