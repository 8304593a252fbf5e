"""Page: the report as one HTML file that needs nothing besides itself."""

from __future__ import annotations

from prillm_or.comparison.comparison import Comparison
from prillm_or.comparison.headline import headline, headlines
from prillm_or.comparison.method import about
from prillm_or.comparison.published import LABEL, citation, paper_tables
from prillm_or.comparison.summary import HEADINGS, Section, cells, sections, time_note
from prillm_or.curves.profit_curve import PATIENCE_S, ProfitCurve, curve
from prillm_or.errors import ConvergenceError
from prillm_or.market.decisions import what_is_set
from prillm_or.market.market import Market
from prillm_or.report.gap_pictures import curve_picture, gap_picture, shown_gap
from prillm_or.report.gap_tables import facts, overview
from prillm_or.report.templates import NARROW, WIDE, fill

_NO_CURVE = "No profit curve: it is drawn for a leader with one price."
_GAP_CAPTION = "Time against gap (hollow: distance to the best proven profit)"


def html_page(comparison: Comparison) -> str:
    """Fill `gap_page.html.jinja`: for each market pictures and table, then the paper's figures and the environment."""
    found = sections(comparison)
    return fill(
        "gap_page.html.jinja",
        headline=headlines(found, comparison.plan.limits.gap),
        overview=overview(comparison),
        headings=HEADINGS,
        sections=[_section(section, comparison, place) for place, section in enumerate(found)],
        time_note=time_note(comparison),
        paper_label=LABEL,
        paper_tables=paper_tables(comparison.plan.preset, found),
        citation=citation(),
        methods=[(str(method), about(method)) for method in comparison.plan.methods],
        facts=list(facts(comparison.environment)),
    )


def _section(section: Section, comparison: Comparison, place: int) -> dict[str, object]:
    market = section.file.market
    traced = _curve(market)
    limits = comparison.plan.limits
    sizes = (("wide", WIDE), ("narrow", NARROW))
    pictures = []
    if traced is not None:
        drawn = {form: curve_picture(section, traced, size, f"c{place}{form[0]}") for form, size in sizes}
        cut = "" if traced.complete else ", cut off before the price cap"
        what = what_is_set(market)
        pictures.append({"caption": f"Profit over {what}: {len(traced.pieces)} exact pieces{cut}", "forms": drawn})
    if any(line.time_s is not None and shown_gap(line) is not None for line in section.lines):
        drawn = {form: gap_picture(section, limits, size, f"g{place}{form[0]}") for form, size in sizes}
        pictures.append({"caption": _GAP_CAPTION, "forms": drawn})
    return {
        "name": section.name,
        "headline": headline(section, limits.gap),
        "about": f"Users: {market.n}; providers: {market.m}; leader: {', '.join(market.leader_ids)}.",
        "description": market.description,
        "no_curve": _NO_CURVE if traced is None else None,
        "pictures": pictures,
        "rows": [cells(line) for line in section.lines],
        "messages": section.messages,
    }


def _curve(market: Market) -> ProfitCurve | None:
    """The curve of the leader's one decision, as far as there is patience; None where there is no piece of it."""
    if len(market.decisions) > 1:
        return None
    try:
        return curve(market, time_limit=PATIENCE_S)
    except ConvergenceError:
        return None
