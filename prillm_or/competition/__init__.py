"""Competition: prices at which no owner gains by moving, and what a change does; `game.py` has the verb."""
