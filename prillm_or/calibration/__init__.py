"""Calibration: what users want, learned from what they did."""
