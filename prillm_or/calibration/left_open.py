"""What the flows leave open, in plain words, and what would tell it: `identifiability.py` as one can act on it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

_FREE = 0.99
_NAMED = 5
_ALONE = {
    "value of ": "Nobody is seen to choose between them and others. Days on which they win or lose users, by another "
    "price for instance, would tell.",
    "dispersion": "It is the scale of money: days on which prices move would tell.",
    "weight of congestion": "It is the scale of money: days on which prices move would tell.",
    "weight of delay": "Delays hardly differ where users choose. Days or users with other delays would tell.",
    "own value of ": "The user is seen to choose none of them, or all at the same margin. Days on which it takes or "
    "leaves them would tell; until then shrinkage decides.",
    "own dispersion of ": "Each is seen at one provider or none. Days on which they split their demand would tell; "
    "until then shrinkage decides.",
    "own dispersion at ": "Nobody is seen to give each a part of a demand. Days on which users do would tell; until "
    "then shrinkage decides.",
    "own weight of congestion of ": "Each is seen at one provider or none. Days on which they split their demand would "
    "tell; until then shrinkage decides.",
    "own weight of price of ": "Each is seen at one provider or none, or at prices that stand still. Days on which "
    "prices move would tell; until then shrinkage decides.",
}
"""By what names begin with: why nothing is known of it, and what would tell."""


def left_open(undetermined: Sequence[Mapping[str, float]]) -> Iterator[str]:
    """Name what is not known at all, by kind, then what is known only relative to other things.

    The directions that the data cannot see are one basis of many, so that what counts is how far each preference moves
    along all of them together: all the way, and nothing is known of it, or in part.

    Parameters
    ----------
    undetermined
        As in `Identifiability`.
    """
    freedom: dict[str, float] = {}
    for direction in undetermined:
        for name, part in direction.items():
            freedom[name] = freedom.get(name, 0.0) + part**2
    alone = {next(iter(direction)) for direction in undetermined if len(direction) == 1}
    free = [name for name, moved in freedom.items() if moved > _FREE or name in alone]
    for kind, why in _ALONE.items():
        ours = [name.removeprefix(kind) for name in free if name.startswith(kind)]
        if ours:
            yield f"the {kind.rstrip()}{_listed(ours)}. {why}"
    if tied := [name for name in freedom if name not in free]:
        yield _tied(tied)


def bounded(at_most: Sequence[str], at_least: Sequence[str]) -> Iterator[str]:
    """Name the values that are known from one side only.

    Parameters
    ----------
    at_most, at_least
        As in `Identifiability`.
    """
    for names, side, way in ((at_most, "most", "low"), (at_least, "least", "high")):
        if names:
            yield (
                f"how {way} the value of these is:{_listed(names)}. Each is worth at {side} what is written; a "
                f"{way}er value explains the flows as well. Days on which other prices make users change would tell."
            )


def _tied(names: Sequence[str]) -> str:
    """What moves together: the scale of money, common and own weights, or something else."""
    weights = [name for name in names if "weight of congestion" in name]
    if len(weights) == len(names):
        return (
            "how weights of congestion split into a common one and each user's own. Their products are known; the "
            "split is a matter of shrinkage, and changes no flow."
        )
    scale = "weight of congestion" in names
    what = "the scale of money: how" if scale else "how"
    return (
        f"{what} large these are, of which only proportions are known:{_listed(names)}. Days on which prices move, "
        "while users and capacities stay as they are, would tell."
    )


def _listed(names: Sequence[str]) -> str:
    """The first few, after a space; nothing of a name that is a kind itself."""
    more = len(names) - _NAMED
    shown = ", ".join(filter(None, names[:_NAMED])) + (f" and {more} more" if more > 0 else "")
    return f" {shown}" if shown else ""
