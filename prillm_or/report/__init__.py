"""Reports and pages: methods side by side, a calibration, a market whose price moves."""
