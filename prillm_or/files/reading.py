"""Content of input files: regular ones of a size that is read, unfolded where they are zipped, and their text."""

from __future__ import annotations

import codecs
import gzip
import io
import os
import stat
import zlib
from pathlib import Path

MOST_BYTES = 2**30
"""The most that is read of a file, or that a zipped one may unfold to: a small file can unfold to all of memory."""

_CHUNK = 2**20
_ZIPPED = b"\x1f\x8b"
_WIDE = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def read_content(path: Path) -> bytes:
    """Bytes of a file, unfolded where its name ends in .gz.

    Raises
    ------
    ValueError
        When it cannot be read, is no regular file, or is too large; it says why, without the path.
    """
    try:
        check_size(path)
        content = path.read_bytes()
    except OSError as failure:
        raise ValueError(f"cannot be read: {failure.strerror or failure}") from None
    if path.name.endswith(".gz"):
        return _unfolded(content)
    if content.startswith(_ZIPPED):
        raise ValueError(f"is gzipped; give it a name that ends in {path.suffix}.gz")
    return content


def check_size(path: Path) -> None:
    """Refuse what is no regular file, which may never end, or one that is too large, before anything is read.

    Raises
    ------
    OSError
        When it is not there, or out of reach.
    ValueError
        When it is refused.
    """
    found = os.stat(path)
    if stat.S_ISDIR(found.st_mode):
        raise ValueError("a folder, not a file")
    if not stat.S_ISREG(found.st_mode):
        raise ValueError("a pipe or a device, not a file; save what it holds in a file first")
    if found.st_size > MOST_BYTES:
        raise too_large()


def too_large() -> ValueError:
    """What to raise of more than is read."""
    return ValueError(f"holds more than {MOST_BYTES >> 30} GiB, the most that is read of a file")


def text_of(content: bytes) -> str:
    """Text in UTF-8, with the byte order mark that some programs write or without.

    Raises
    ------
    ValueError
        When it is in another encoding; it says which, where that can be told.
    """
    if content.startswith(_WIDE) or b"\0\0" in (content[0:4:2], content[1:4:2]):
        raise ValueError("is UTF-16 or UTF-32, not UTF-8; save it as UTF-8")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as failure:
        raise ValueError(f"not UTF-8: byte {failure.start} cannot be decoded; save it as UTF-8") from None


def _unfolded(content: bytes) -> bytes:
    parts, size = [], 0
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(content)) as stream:
            while part := stream.read(_CHUNK):
                parts.append(part)
                if (size := size + len(part)) > MOST_BYTES:
                    raise too_large()
    except (EOFError, OSError, zlib.error) as failure:
        raise ValueError(f"not a whole gzip file: {failure}") from None
    return b"".join(parts)
