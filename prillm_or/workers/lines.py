"""Lines: a file of JSON objects, one a line, that grows as they come, so that a run that was killed can go on."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from prillm_or.errors import PrillmError
from prillm_or.files.documents import parse_json
from prillm_or.files.reading import read_content
from prillm_or.market.faults import Faults
from prillm_or.output.saving import replace_file


class Lines:
    """The file; there is none as long as there is no line.

    Parameters
    ----------
    path
        Its folder exists.
    first
        The key that each line begins with. A file that does not is not ours, and is left alone.
    resume
        Whether to keep what it holds; otherwise it starts empty.

    Attributes
    ----------
    kept
        The objects it held.

    Raises
    ------
    PrillmError
        When it is not ours, cannot be read or written, or a line is no object.
    """

    def __init__(self, path: Path, first: str, *, resume: bool) -> None:
        self.path = path
        begin = f'{{"{first}": '.encode()
        old = self._old(begin)
        if not resume:
            old = b""
        # A line that a kill cut short has no end and is dropped; those before it are whole.
        lines = old[: old.rfind(b"\n") + 1].splitlines()
        self.kept = [self._parsed(number, line) for number, line in enumerate(lines, start=1)]
        if lines:
            replace_file(path, b"".join(line + b"\n" for line in lines))
        else:
            self.remove()

    def _old(self, begin: bytes) -> bytes:
        """What the file holds; a kill may have cut even its beginning short."""
        if not os.path.lexists(self.path):
            return b""
        try:
            old = read_content(self.path)
        except ValueError as refusal:
            raise PrillmError(f"{self.path}: {refusal}") from None
        if not (old.startswith(begin) or begin.startswith(old)):
            raise PrillmError(f"{self.path}: is not ours, and would be overwritten; move it away or write elsewhere")
        return old

    def _parsed(self, number: int, line: bytes) -> dict[str, Any]:
        try:
            found = parse_json(line, faults := Faults())
            if faults.lines():
                found = None
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise self.fault(number)
        return found

    def fault(self, number: int, what: str = "is no record of a run") -> PrillmError:
        """What to raise of a line that cannot be believed; the first has number 1."""
        return PrillmError(f"{self.path}: line {number} {what}; mend or remove it")

    def remove(self) -> None:
        """Remove the file."""
        try:
            self.path.unlink(missing_ok=True)
        except OSError as failure:
            raise PrillmError(f"{self.path}: cannot be written: {failure.strerror}") from None

    def add(self, document: Mapping[str, Any]) -> None:
        """Append an object: one write of a whole line, on disk before this returns."""
        line = (json.dumps(document, allow_nan=False) + "\n").encode()
        try:
            with self.path.open("ab", buffering=0) as stream:
                if stream.write(line) < len(line):
                    raise PrillmError(f"{self.path}: cannot be written whole: no space is left")
                os.fsync(stream.fileno())
        except OSError as failure:
            raise PrillmError(f"{self.path}: cannot be written: {failure.strerror}") from None
