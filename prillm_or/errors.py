"""What can go wrong through no fault of ours: each error says the cause and the way out.

A message that speaks of an argument marks it by `argument`. Whoever calls from Python reads `solver='highs'`; the
command line, for which it is a flag, renders the same message by `with_flags`: `--solver highs`.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from difflib import get_close_matches
from importlib.util import find_spec
from numbers import Integral, Real
from pathlib import Path
from typing import Any

_MARKED = re.compile("\ue000([^\ue001]*)\ue001([^\ue002]*)\ue002")
"""How Python and how a command line write an argument, between characters that no message holds otherwise."""

_REPEATED = {"baselines": "baseline", "groups": "group", "owners": "owner"}
"""Arguments of several values whose flag, given once for each of them, is called by one."""


def argument(name: str, value: object = None, *, flag: str | None = None) -> str:
    """Mark an argument in a message.

    Parameters
    ----------
    name
        As in Python; on the command line its underscores are dashes.
    value
        The value it has or should have; None for the argument alone.
    flag
        What the command line says in its place, where that is more than another way to write it.
    """
    python = f"`{name}`" if value is None else f"{name}={value!r}"
    flag = flag or f"--{_REPEATED.get(name, name).replace('_', '-')}" + ("" if value is None else f" {value}")
    return f"\ue000{python}\ue001{flag}\ue002"


_OUT_OF_SCALE = (
    "most often demands or capacities lie too many orders of magnitude apart: "
    "`prillm-or validate` tells, one unit for all or leaving out what is too small to count mends it"
)
OUT_OF_MEMORY = f"out of memory: take a smaller market, fewer {argument('jobs')}, or a larger machine"


def with_flags(text: str) -> str:
    """A message for the command line: arguments are flags."""
    return _MARKED.sub(lambda found: found[2], text)


def with_arguments(text: str) -> str:
    """A message for Python: arguments are keywords."""
    return _MARKED.sub(lambda found: found[1], text)


class PrillmError(Exception):
    """A mistake the user can mend; the command line prints it without a traceback and exits with 2."""

    @property
    def message(self) -> str:
        """The text with its arguments marked, to be put into another message or rendered by `with_flags`."""
        return str(self.args[0]) if self.args else ""

    def __str__(self) -> str:
        return with_arguments(self.message)


class FaultsError(PrillmError):
    """Something given breaks its rules.

    Remedy: each problem names the place and the rule it breaks; mend them all at once.

    Parameters
    ----------
    source
        Where it comes from: a file or folder, or its own name.
    problems
        One line for each fault, "place: what is wrong".
    """

    def __init__(self, source: str, problems: Sequence[str]) -> None:
        self.source = source
        self.problems = tuple(problems)
        super().__init__("\n".join(f"{source}: {problem}" for problem in self.problems))


class MarketError(FaultsError):
    """A file or an array that does not describe a market."""


class ObservationsError(FaultsError):
    """A table or an array that does not describe who routed what, at which prices."""


class ArgumentError(PrillmError):
    """An argument that is not what it has to be. Remedy: the message names it, the rule, and what was given."""


class UnknownNameError(PrillmError):
    """A name that there is not. Remedy: the message lists the nearest, or all there are."""


class CombinationError(PrillmError):
    """A model, solver and market that do not go together. Remedy: the message names what would work."""


class OptionError(CombinationError):
    """An option of a profile that its solver does not take. Remedy: the message names the option, and the flag if any.

    Parameters
    ----------
    name
        The option.
    problem
        What is wrong with it.
    """

    def __init__(self, name: str, problem: str) -> None:
        self.name = name
        self.problem = problem
        super().__init__(f"options.{name}: {problem}")


class UnavailableError(PrillmError):
    """A solver or its licence is missing. Remedy: the message holds the install command or another solver."""


class ConvergenceError(PrillmError):
    """No equilibrium could be found, or none certified, in double precision. Remedy: the message tells how."""

    @property
    def message(self) -> str:
        """What could not be found, and what mends it, whoever raises it."""
        return f"{super().message}; {_OUT_OF_SCALE}"


def nearest(name: str, known: Iterable[str], most: int = 1) -> list[str]:
    """Those of the names known that may have been meant, whatever their case; of `folder/name` either may be given."""
    written: dict[str, list[str]] = {}
    for each in known:
        folded = each.casefold()
        for part in dict.fromkeys((folded, folded.rpartition("/")[2])):
            written.setdefault(part, []).append(each)
    folded = name.casefold()
    parts = [folded] if folded in written else get_close_matches(folded, written, n=most)
    return list(dict.fromkeys(each for part in parts for each in written[part]))[:most]


def unknown_name(what: str, name: str, known: Collection[str]) -> UnknownNameError:
    """The error that a name is none of those known; it lists the nearest, or all of them.

    Parameters
    ----------
    what
        What it should name.
    """
    known = [each for each in known if each != name]  # it may be one of them where it has no place
    near = nearest(name, known, most=3)
    hint = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(known) or 'none'}"
    return UnknownNameError(f"{what} {name!r}: there is none of that name; {hint}")


def need_packages(what: str, *packages: str, extra: str | None = None) -> None:
    """Refuse what needs packages that are not installed.

    Parameters
    ----------
    extra
        The extra of this package that brings them; None where they are installed by their own names.

    Raises
    ------
    UnavailableError
        When one is missing; the message holds the install command.
    """
    if "pyomo" in packages and sys.flags.optimize > 1:
        raise UnavailableError(f"{what}: Pyomo needs its docstrings; leave PYTHONOPTIMIZE=2 and python -OO out")
    missing = [package for package in packages if find_spec(package) is None]
    if missing:
        install = " ".join(missing) if extra is None else f"'prillm-or[{extra}]'"
        are = "is" if len(missing) == 1 else "are"
        raise UnavailableError(f"{what}: {', '.join(missing)} {are} not installed; pip install {install}")


def is_number(value: Any) -> bool:
    """Whether a value is a number that double precision can hold; True and False are none."""
    if isinstance(value, bool) or not isinstance(value, Real):
        return False
    return not isinstance(value, Integral) or abs(int(value)) <= sys.float_info.max


def check_number(name: str, value: Any, least: float = 0.0) -> None:
    """Refuse an argument that is no number, NaN, or below `least`.

    Raises
    ------
    ArgumentError
        When it is.
    """
    if not is_number(value) or not least <= value:  # NaN is not >= anything
        raise ArgumentError(f"{argument(name)}: expected a number >= {least:g}, got {value!r}")


def check_count(name: str, value: object, least: int) -> None:
    """Refuse an argument that is no whole number, or one below `least`.

    Raises
    ------
    ArgumentError
        When it is.
    """
    if isinstance(value, bool) or not isinstance(value, Integral) or int(value) < least:
        raise ArgumentError(f"{argument(name)}: expected a whole number >= {least}, got {value!r}")


def check_choice(name: str, value: object, choices: Collection[str]) -> None:
    """Refuse an argument that is none of the names it can have.

    Raises
    ------
    ArgumentError
        When it is.
    """
    if not isinstance(value, str) or value not in choices:
        near = nearest(value, choices) if isinstance(value, str) else []
        hint = f"; did you mean {near[0]}?" if near else ""
        raise ArgumentError(f"{argument(name)}: expected one of {', '.join(choices)}, got {value!r}{hint}")


def checked_text(name: str, value: object) -> str:
    """A name, or a path as text.

    Raises
    ------
    ArgumentError
        When it is neither.
    """
    text = os.fspath(value) if isinstance(value, (str, os.PathLike)) else None
    if not isinstance(text, str):
        raise ArgumentError(f"{argument(name)}: expected a name or a path, got {_short(value)}")
    return text


def checked_path(name: str, value: object) -> Path:
    """A path.

    Raises
    ------
    ArgumentError
        When it is none.
    """
    return Path(checked_text(name, value))


def checked_list(name: str, value: Any, what: str = "ids") -> tuple[Any, ...]:
    """What a list, or anything else that has an order, holds.

    Raises
    ------
    ArgumentError
        When it is a single text, which would fall apart into letters, a mapping, or nothing of the kind.
    """
    if isinstance(value, (str, bytes, os.PathLike, Mapping)) or not isinstance(value, Iterable):
        raise ArgumentError(f"{argument(name)}: expected {what} in a list, got {_short(value)}")
    return tuple(value)


def _short(value: object, most: int = 60) -> str:
    """A value as Python writes it; by its type alone where that is long."""
    text = repr(value)
    return text if len(text) <= most else type(value).__name__
