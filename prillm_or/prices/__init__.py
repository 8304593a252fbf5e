"""Public price tables: read in their own schemas, written as the `providers` of a market."""
