"""Backtesting: prices that changed, each predicted from the days before it and compared with what came."""
