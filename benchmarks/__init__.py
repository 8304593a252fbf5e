"""Benchmarks: what is measured, each figure a ratio within one run; see README.md beside this file."""
