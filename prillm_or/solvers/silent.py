"""HiGHS without a word on standard output."""

from __future__ import annotations

import highspy


class SilentHighs(highspy.Highs):
    """HiGHS that prints nothing: standard output may have to hold nothing but JSON.

    It prints a banner when its constructor sets the first callback, before any option could be set from outside.
    """

    def enableCallbacks(self) -> None:
        """Set the callbacks, silenced first."""
        self.silent()
        super().enableCallbacks()
