"""Templates: pages filled with what they show."""

from __future__ import annotations

import re

WIDE, NARROW = 5.8, 3.7
"""Inches across of a page's pictures: on a small screen the narrow form keeps letters legible."""

_VARIABLES = {
    "#000000": "ink",
    "#333333": "ink",
    "#444444": "soft",
    "#666666": "soft",
    "#888888": "soft",
    "#999999": "soft",
    "#cccccc": "strong",
    "#e4e4e4": "line",
    "#ffffff": "paper",
    "#d55e00": "own",
    "#0072b2": "rival",
    "#009e73": "mark",
    "#cc79a7": "purple",
    "#e69f00": "warm",
    "#56b4e9": "sky",
    "#8c6d1f": "brown",
}
"""Colours of our plots, and the variables of `base.html.jinja` that stand for them in light and in dark."""


def themed(svg: str) -> str:
    """A picture whose colours are the page's, which follow the reader's choice of light or dark."""
    return re.sub("|".join(_VARIABLES), lambda found: f"var(--{_VARIABLES[found[0]]})", svg)


def fill(template: str, **content: object) -> str:
    """Fill a template of this folder; all text is escaped, and a name that is not given is an error."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    loader = PackageLoader("prillm_or.report", package_path="")
    templates = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    templates.filters["themed"] = themed
    return templates.get_template(template).render(**content)
