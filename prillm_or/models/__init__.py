"""Pyomo formulations, one file each, and what they share."""
