"""Robust: prices over several markets, of which one is the right one; `pricing.py` leads through."""
