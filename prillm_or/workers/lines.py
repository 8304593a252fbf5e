"""Lines: a file of JSON objects, one a line, that grows as they come, so that a run that was killed can go on."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from prillm_or.errors import PrillmError
from prillm_or.output.saving import replace_file


class Lines:
    """The file; there is none as long as there is no line.

    Parameters
    ----------
    path
        Its folder exists.
    resume
        Whether to keep what it holds; otherwise it starts empty.

    Attributes
    ----------
    kept
        The objects it held.

    Raises
    ------
    PrillmError
        When it cannot be read or written, or a line is no object.
    """

    def __init__(self, path: Path, *, resume: bool) -> None:
        self.path = path
        try:
            old = path.read_bytes() if resume and path.exists() else b""
        except OSError as failure:
            raise PrillmError(f"{path}: cannot be read: {failure.strerror}") from None
        # A line that a kill cut short has no end and is dropped; those before it are whole.
        lines = old[: old.rfind(b"\n") + 1].splitlines()
        self.kept = [self._parsed(number, line) for number, line in enumerate(lines, start=1)]
        if lines:
            replace_file(path, b"".join(line + b"\n" for line in lines))
        else:
            self.remove()

    def _parsed(self, number: int, line: bytes) -> dict[str, Any]:
        try:
            found = json.loads(line)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise self.fault(number)
        return found

    def fault(self, number: int) -> PrillmError:
        """What to raise of a line that is no record of a run; the first has number 1."""
        return PrillmError(f"{self.path}: line {number} is no record of a run; mend or remove it")

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
