"""Plots: what a market and its price look like, each a function that draws on axes; `save.py` writes them to a file."""
