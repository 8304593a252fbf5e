"""Experiments: which prices to try, so that what a fit leaves open of the best one narrows; `planning.py` leads."""
