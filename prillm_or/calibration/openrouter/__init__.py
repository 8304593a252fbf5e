"""Observations from tables of the OpenRouter marketplace, as public repositories hold them."""
