"""Imported: observations made of raw tables, and the README that says what they are made of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from prillm_or import __version__
from prillm_or.calibration.by_component import ByComponent
from prillm_or.calibration.observations import Observations

UNITS_SAID = (
    "Units: flows and capacities in 1e9 tokens per day, prices in 1000 USD per 1e9 tokens (USD per 1e6 tokens), delays "
    "in seconds waited per 1e6 tokens."
)


Part = Literal["providers", "apps", "hourly", "logged"]


@dataclass(frozen=True, eq=False)
class Imported:
    """One observation folder to be.

    Parameters
    ----------
    kind
        The folder above.
    by_component
        What the prices are made of; None where that is not kept.
    readme
        What is observed, derived, imputed and chosen.
    """

    kind: Part
    observations: Observations
    by_component: ByComponent | None
    readme: str


def readme(title: str, intro: str, figures: Mapping[str, Iterable[str]], sources: Iterable[str]) -> str:
    """Text of a README: a part for each kind of figure, then the files they come from."""
    parts = [f"# {title}", f"{intro}\n\n{UNITS_SAID}"]
    parts += [f"## {kind}\n\n{_bullets(lines)}" for kind, lines in figures.items()]
    parts.append(f"## Sources\n\n{_bullets(sources)}")
    rights = "No licence is stated for some of the sources: use for research and cite them; ask before publishing."
    parts.append(f"{rights}\n\nMade by `prillm-or import-openrouter`, version {__version__}.")
    return "\n\n".join(parts) + "\n"


def _bullets(lines: Iterable[str]) -> str:
    return "\n".join(f"* {line}" for line in lines)
