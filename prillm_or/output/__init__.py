"""Output: numbers, tables, plots and files as people and programs read them."""
