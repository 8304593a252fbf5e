"""Streams: standard input, output and error as they come: closed, full, in any encoding, left by whoever read them."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import TextIOWrapper

from prillm_or.errors import PrillmError, with_flags
from prillm_or.output.words import inert


def open_streams() -> None:
    """Make all three usable: a file opened later would become a closed one, and Python has None in its place.

    Nothing can be read from one that was closed, and writing to it fails, as it should: an answer would be lost. A
    letter that an encoding lacks is replaced.
    """
    for number, (name, how) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDONLY)  # becomes the first number that is free
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, how, encoding="utf-8", errors="replace", closefd=False))
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")


def close_streams() -> None:
    """Flush both, so that Python, which would end with code 120, has nothing left that could fail."""
    for stream, number in ((sys.stdout, 1), (sys.stderr, 2)):
        try:
            stream.flush()
        except OSError:
            _drop(number)


@contextmanager
def printing() -> Iterator[None]:
    """What is printed on standard output goes out at once; nobody has to read it.

    Raises
    ------
    PrillmError
        When it cannot be written for another reason, such as a full disk.
    """
    try:
        yield
        sys.stdout.flush()
    except (BrokenPipeError, SystemExit):  # rich makes the one into the other
        _drop(1)
    except OSError as failure:
        _drop(1)
        raise PrillmError(f"standard output: cannot be written: {failure.strerror}") from None


def report(error: object) -> None:
    """Print what is wrong on standard error, with its arguments as flags; where there is none, the exit code tells."""
    text = with_flags(error.message if isinstance(error, PrillmError) else str(error))
    try:
        print("\n".join(map(inert, text.split("\n"))), file=sys.stderr, flush=True)
    except OSError:
        _drop(2)


def _drop(number: int) -> None:
    """Let what is still to be written to a stream go nowhere."""
    sink = os.open(os.devnull, os.O_WRONLY)
    os.dup2(sink, number)
    os.close(sink)
