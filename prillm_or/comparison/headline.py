"""Headline: what the methods say of a market together, in one or two sentences that hold in every case."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from prillm_or.comparison.summary import Line, Section
from prillm_or.output.numbers import figure, percent, seconds
from prillm_or.result import Status

_NOT_FASTER = 1.1
"""Times nearer than this are told apart by chance."""


def headlines(sections: Sequence[Section], gap: float) -> str:
    """Of all markets together: on how many the optimum is proven, and whether methods that prove it agree."""
    if len(sections) == 1:
        return headline(sections[0], gap)
    proofs = [[line for line in section.lines if proves(line)] for section in sections]
    compared = [lines for lines in proofs if len(lines) > 1]
    said = f"The optimum is proven on {sum(map(bool, proofs))} of {len(sections)} markets."
    if compared:
        apart = max(map(_apart, compared))
        agree = f"they agree to {_digits(apart)}"
        if apart > gap:
            agree = f"they are up to {percent(apart)} apart, so that one is wrong"
        said += f" Where several methods prove it ({len(compared)}), {agree}."
        counted = Counter(min(lines, key=_time).method for lines in compared)
        names = ", ".join(f"{method} ({count})" for method, count in counted.most_common())
        said += f" The fastest of them: {names}."
    return said


def headline(section: Section, gap: float) -> str:
    """Who proves the optimum, whether they agree to the gap asked for, who is fastest, and what the others earn."""
    answers = [line for line in section.lines if line.profit is not None]
    failed = [line for line in section.lines if line.profit is None]
    proven = [line for line in answers if proves(line)]
    others = [line for line in answers if not proves(line)]
    said = [*_proven(proven, gap), *_others(others, gap)] if proven else [*_open(answers)]
    return " ".join([*said, *_failed(failed)])


def proves(line: Line) -> bool:
    """Whether the method proved the optimum, in the repeats that gave an answer."""
    return line.status.startswith(Status.OPTIMAL)


def _proven(proven: Sequence[Line], gap: float) -> Iterator[str]:
    if len(proven) == 1:
        (only,) = proven
        yield f"{only.method} proves the optimum, {figure(only.profit, 6)}, in {seconds(only.time_s)}."
    else:
        yield _agreement(proven, gap)
        yield _fastest(proven)


def _open(answers: Sequence[Line]) -> Iterator[str]:
    """Where nobody proves it: the best price seen, and what bounds say of it."""
    if not answers:
        return
    best = max(answers, key=lambda line: line.profit or 0.0)
    bounds = [line for line in answers if line.gap is not None]
    if bounds:
        tight = min(bounds, key=lambda line: line.gap or 0.0)
        yield f"No method proves the gap asked for; {tight.method} comes nearest, with {figure(tight.gap, 2)}."
    else:
        yield "No method proves anything here: how much more could be earned is not known."
    yield f"The best price seen is that of {best.method}, which earns {figure(best.profit, 6)}."


def _agreement(proven: Sequence[Line], gap: float) -> str:
    apart = _apart(proven)
    if apart > gap:
        return (
            f"{_listed(proven)} each claim the optimum, and their profits are {percent(apart)} apart, more than the "
            f"gap of {gap:g} allows: one of them is wrong."
        )
    return (
        f"{_listed(proven)} {'both' if len(proven) == 2 else 'all'} prove the optimum, and agree to {_digits(apart)}."
    )


def _apart(lines: Sequence[Line]) -> float:
    """How far apart the profits are, relative to the largest."""
    profits = [line.profit or 0.0 for line in lines]
    return (max(profits) - min(profits)) / (max(map(abs, profits)) or 1.0)


def _digits(apart: float) -> str:
    return "the last digit" if apart == 0 else f"{apart:.0e}"


def _fastest(proven: Sequence[Line]) -> str:
    first, second, *_ = ranked = sorted(proven, key=_time)
    ratios = [_time(line) / _time(first) if _time(first) > 0 else 1.0 for line in (second, ranked[-1])]
    if ratios[0] < _NOT_FASTER:
        return f"{first.method} and {second.method} are about equally fast: {seconds(first.time_s)}."
    times = " to ".join(dict.fromkeys(_times(ratio) for ratio in ratios))
    than = second.method if len(ranked) == 2 else "the others"
    return f"{first.method} is {times} times faster than {than}."


def _others(others: Sequence[Line], gap: float) -> Iterator[str]:
    """Of methods that prove less: what part of the proven optimum they earn, the least of several."""
    shares = [(line.profit_share, line) for line in others if line.profit_share is not None]
    above = [line for share, line in shares if share > 1 + gap]
    if above:
        earn = "earns" if len(above) == 1 else "earn"
        yield f"{_listed(above)} {earn} more than the optimum proven: that proof is wrong."
    elif shares:
        least, line = min(shares, key=lambda pair: pair[0])
        who = f"{len(shares)} methods prove less; the worst, {line.method}," if len(shares) > 1 else line.method
        yield f"{who} earns {percent(min(least, 1.0))} of that{', and proves less' if len(shares) == 1 else ''}."


def _failed(failed: Sequence[Line]) -> Iterator[str]:
    if failed:
        yield f"{_listed(failed)} failed."


def _listed(lines: Sequence[Line]) -> str:
    *first, last = [line.method for line in lines]
    return f"{', '.join(first)} and {last}" if first else last


def _time(line: Line) -> float:
    return line.time_s or 0.0


def _times(ratio: float) -> str:
    """Two digits: times of runs are no more certain."""
    return f"{float(f'{ratio:.2g}'):,.{0 if ratio >= 10 else 1}f}"
