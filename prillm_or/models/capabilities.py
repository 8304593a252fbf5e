"""Capability: what a formulation needs and a solver can take; compared before anything is solved."""

from __future__ import annotations

from enum import StrEnum, auto


class Capability(StrEnum):
    """A kind of leader, or of programme."""

    ONE_PRICE = auto()
    """Leaders with one price."""
    SEVERAL_PRICES = auto()
    """Leaders with several prices."""
    PRICE_LISTS = auto()
    """Leaders whose decisions are not each the one price of a provider: components of lists, factors."""
    MIP = auto()
    """Linear programmes with integer variables."""
    CONVEX_MIQP = auto()
    """Convex quadratic objectives with integer variables."""
    NONCONVEX = auto()
    """Quadratic objectives and rows of any curvature, solved globally."""
    SOS1 = auto()
    """Special ordered sets of type 1."""
    INDICATOR = auto()
    """Rows that hold where a binary has a given value."""
    NLP = auto()
    """Quadratic objectives and rows of any curvature, solved locally, continuous variables only."""
