"""Competition: prices at which no owner gains by moving, and what a change of the market does; `search.py` leads."""
