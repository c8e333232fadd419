"""Peers for which toxcore takes no more packets now, and when each is tried again.

toxcore refills what it allows by the next turn of the node, and only for time that has really passed on its
clock: so the clock advances in steps, and packets go after each (docs/decisions/0004-time-in-steps.md).
"""

import asyncio
from typing import Protocol

from ...tox.node import Node
from ...tox.safecall import SafeCall
from ...tox.timing import ClockSteps


class Sender(Protocol):
    """Sends the packets of one peer. `steps` says how long the steps for it are to be."""

    steps: ClockSteps

    def now(self) -> float: ...

    def retry(self) -> None:
        """A step has passed: sends until toxcore refuses again, which it reports to `set_blocked`."""


class SendRetries:
    """The blocked senders of one node."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._blocked: set[Sender] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._guarded = SafeCall()

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def set_blocked(self, sender: Sender, blocked: bool) -> None:
        """Whether the sender has packets that toxcore did not take."""
        if not blocked:
            self._blocked.discard(sender)
        elif sender not in self._blocked:
            self._blocked.add(sender)
            sender.steps.begin(sender.now())
            self._step()

    def is_blocked(self, sender: Sender) -> bool:
        return sender in self._blocked

    def _step(self) -> None:
        """Lets a step pass on the node's clock, the longest that any sender wants, then tries all again."""
        step_s = max(each.steps.step_s for each in self._blocked)
        self._node.turns.step_clock(step_s)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(step_s, self._retry)

    def _retry(self) -> None:
        self._node.turns.turn()
        self._timer = None
        if self._node.closed:
            return
        for sender in list(self._blocked):
            self._guarded(sender.retry)
        if self._blocked:
            self._step()
