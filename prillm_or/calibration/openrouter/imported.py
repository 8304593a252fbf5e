"""Imported: observations made of raw tables, and what is to be known of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
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


_RIGHTS = "No licence is stated for some of the sources: use for research and cite them; ask before publishing."


@dataclass(frozen=True)
class About:
    """What is to be known of observations before they are used.

    Parameters
    ----------
    intro
        How much there is of them, and what they cannot tell.
    figures
        Sentences on each kind of figure, such as those observed.
    leader
        Who leads, and how to choose another.
    sources
        The files they come from.
    """

    intro: str
    figures: Mapping[str, Sequence[str]]
    leader: str
    sources: Sequence[str]

    def readme(self, title: str) -> str:
        """Text of a README.md: a part for each kind of figure, then the sources."""
        parts = [f"# {title}", f"{self.intro}\n\n{UNITS_SAID}"]
        chosen = {"Chosen": [*self.figures.get("Chosen", ()), self.leader]}
        told = {**self.figures, **chosen, "Sources": self.sources}
        parts += [f"## {kind}\n\n{_bullets(lines)}" for kind, lines in told.items()]
        return "\n\n".join([*parts, _RIGHTS, f"Made by `prillm-or import-openrouter`, version {__version__}."]) + "\n"

    @property
    def text(self) -> str:
        """The same in one paragraph, but for the leader, which is what is changed most."""
        figures = [f"{kind}: {' '.join(lines).rstrip(';.')}." for kind, lines in self.figures.items()]
        return " ".join([self.intro, *figures, f"Sources: {'; '.join(self.sources)}.", _RIGHTS])


@dataclass(frozen=True, eq=False)
class Imported:
    """One observation folder to be.

    Parameters
    ----------
    kind
        The folder above.
    by_component
        What the prices are made of; None where that is not kept.
    about
        What is observed, derived, imputed and chosen.
    """

    kind: Part
    observations: Observations
    by_component: ByComponent | None
    about: About


def _bullets(lines: Iterable[str]) -> str:
    return "\n".join(f"* {line}" for line in lines)
