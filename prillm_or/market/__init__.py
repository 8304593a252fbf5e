"""Market: one instance, how it changes, and what it may hold."""
