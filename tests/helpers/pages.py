"""Pages of the documentation: their fenced blocks, and the commands in them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its lines, the paragraph above it and whether it follows a block directly."""

    language: str
    body: str
    above: str
    line: int

    @property
    def file(self) -> str | None:
        """The file that a reader is told to save it as."""
        named = re.search(r"Save as\s+`([^`]+)`[^`]*\Z", self.above)
        return named and named[1]


def blocks(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    fences = re.finditer(r"^```(\S*)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    return [
        Block(fence[1], fence[2], text[: fence.start()].rstrip().split("\n\n")[-1], text.count("\n", 0, fence.start()))
        for fence in fences
    ]


def commands(body: str) -> Iterator[tuple[str, str]]:
    """Commands of a console block, with the output shown for each; lines after a backslash belong to the command."""
    for part in re.split(r"^\$ ", body, flags=re.MULTILINE)[1:]:
        command, output = re.split(r"(?<!\\)\n", part, maxsplit=1)
        yield command, output
