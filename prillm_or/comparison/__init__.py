"""Comparison: methods side by side against the proven optimum."""
