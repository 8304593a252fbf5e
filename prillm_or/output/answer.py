"""Answer: what every result can do, whatever it holds: be printed, become a dictionary or a frame, be saved."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from prillm_or.output.saving import write_json
from prillm_or.output.tables import Part, as_html, as_text

if TYPE_CHECKING:
    from pandas import DataFrame


class Answer(ABC):
    """A result: printed as its command prints it, and a table in a notebook."""

    @abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """The fields of its file format, in their order, ready for JSON."""

    @abstractmethod
    def to_frame(self) -> DataFrame:
        """Its rows as a pandas frame, labelled by id.

        Raises
        ------
        UnavailableError
            When pandas is not installed.
        """

    @abstractmethod
    def parts(self, note: str = "") -> Iterable[Part]:
        """The lines and tables it is shown by.

        Parameters
        ----------
        note
            What its heading says besides, after the market's name.
        """

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write `to_dict` as JSON, whole or not at all.

        Raises
        ------
        PrillmError
            When the file cannot be written.
        """
        write_json(self.to_dict(), path)

    def __str__(self) -> str:
        return as_text(self.parts())

    def __repr__(self) -> str:
        """What a prompt shows: the same; arrays and all the rest would fill pages."""
        return str(self)

    def _repr_html_(self) -> str:
        return as_html(self.parts())
