"""Reports: methods side by side against the proven optimum, as tables, pictures and pages."""
