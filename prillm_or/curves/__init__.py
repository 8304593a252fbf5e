"""Curves: the exact pieces of the leader's loads and profit along one price."""
