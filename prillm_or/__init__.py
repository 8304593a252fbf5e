"""Prices of LLM services as a Stackelberg routing game: the best price for a leader, proven.

>>> import prillm_or as po
>>> market = po.load("tiny/one-rival")
>>> result = po.solve(market)
>>> result.price, result.profit, result.status.value
(3.0, 4.5, 'optimal')

The public names, and the modules they live in, are in `__init__.pyi`. Each is imported when it is first used, so
that `import prillm_or` costs nothing; hence no room at the top of the package may bear the name of a function.
"""

from lazy_loader import attach_stub

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
