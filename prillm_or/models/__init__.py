"""Pyomo formulations, one file each."""
