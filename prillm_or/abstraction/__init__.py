"""Abstraction: small markets, with few rivals, that stand for large ones."""
