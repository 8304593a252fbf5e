"""Solving: from a market to a certified price; who computes, how an answer is judged, and how it is kept up to date."""
