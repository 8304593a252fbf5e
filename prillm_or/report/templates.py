"""Templates: pages filled with what they show."""

from __future__ import annotations

WIDE, NARROW = 5.8, 3.7
"""Inches across of a page's pictures: on a small screen the narrow form keeps letters legible."""


def fill(template: str, **content: object) -> str:
    """Fill a template of this folder; all text is escaped, and a name that is not given is an error."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    loader = PackageLoader("prillm_or.report", package_path="")
    templates = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return templates.get_template(template).render(**content)
