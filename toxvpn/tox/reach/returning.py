"""Notices that the network around us is back: a captive portal has opened, a router is up again. Sans-IO.

toxcore spends some seconds of its clock, on which a burst is best used (timing.py), after the first node has
answered. In a network where nobody answers a burst is wasted, and the next one would have to wait.
"""

import enum

from ..._native.results import Connection

SILENT_S = 8.0
"""Outside the Tox network, for so long no node has answered. A burst has had its time then, also over TCP."""


class Noticed(enum.Enum):
    NOTHING = enum.auto()
    SILENCE = enum.auto()
    """There is nobody who answers."""
    ANSWER = enum.auto()
    """The first one after a silence."""


class Returning:
    def __init__(self, now: float) -> None:
        self._answers = 0
        self._heard_s = now

    def look(self, answers: int, connection: Connection, now: float) -> Noticed:
        """`answers` counts those of nodes since the start. To be called several times a second."""
        is_silent = now - self._heard_s >= SILENT_S and connection is Connection.NONE
        answered, self._answers = answers != self._answers, answers
        if answered or connection is not Connection.NONE:
            self._heard_s = now
        if not is_silent:
            return Noticed.NOTHING
        return Noticed.ANSWER if answered else Noticed.SILENCE
