"""Robust: prices over several markets, of which one is the right one; `robust.py` leads through."""
