"""Explanation: why a price is the best one, in figures that can be checked one by one; `derive.py` leads through."""
