"""How a run stands with whoever started it: the terminal that waits, systemd, and who wants a reload.

Made by run.py inside the loop, found again by base.py. A kind of run calls `ready` once it serves, may
say what a reload is to do, and ends when `stopping` is set. Neighbours: notify.py tells systemd,
background.py the terminal.
"""

import asyncio
import logging
import os
from collections.abc import Callable, Iterable
from contextvars import ContextVar

from ..errors import ToxvpnError
from ..tox.events import Event, PeerConnection, PeerRemoved, SelfConnection
from ..tox.node import Node
from .notify import Notifier

log = logging.getLogger("toxvpn")

Reload = Callable[[], Iterable[str]]
"""Reads again what has changed; says what it did, a line each. Raises ToxvpnError, having changed nothing."""


class Life:
    def __init__(self, notifier: Notifier, went_ready: Callable[[], None] = lambda: None) -> None:
        self.stopping = asyncio.Event()
        self._failure: ToxvpnError | None = None
        self._notifier = notifier
        self._went_ready = went_ready
        self._reload: Reload | None = None
        self._line = ""
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._node: Node | None = None
        self._feed()

    def ready(self) -> None:
        """Once, when it serves: listeners are bound, the Tox ID is known. Raises ToxvpnError."""
        self._notifier.ready()
        self._went_ready()

    async def ended(self) -> None:
        """Returns when the run is to end. Raises what it failed of."""
        await self.stopping.wait()
        if self._failure is not None:
            raise self._failure

    def fail(self, error: ToxvpnError) -> None:
        """Ends the run with that error."""
        self._failure = error
        self.stopping.set()

    def watch(self, node: Node) -> None:
        """Keeps systemd's status line true, and the watchdog fed as long as that node takes its turns."""
        self._node = node

        def hear(event: Event) -> None:
            if isinstance(event, SelfConnection | PeerConnection | PeerRemoved):
                self._tell(standing(node))

        node.subscribe(hear)
        self._tell(standing(node))

    @property
    def can_reload(self) -> bool:
        return self._reload is not None

    def on_reload(self, reload: Reload) -> None:
        self._reload = reload

    def reload(self) -> None:
        if self._reload is None:
            log.info("reload: this kind of run has nothing to read again")
            return
        self._notifier.reloading()
        try:
            for line in self._reload():
                log.info("reload: %s", line)
        except ToxvpnError as failure:
            log.error("nothing is reloaded: %s", failure)
        except Exception:
            log.exception("nothing is reloaded")
        finally:
            self._notifier.ready()

    def close(self) -> None:
        self._notifier.stopping()
        if self._timer is not None:
            self._timer.cancel()
        self._notifier.close()

    def _tell(self, line: str) -> None:
        if line != self._line:
            self._line = line
            self._notifier.status(line)

    def _feed(self) -> None:
        """When the loop hangs, or the node does in a loop that lives, systemd starts the service anew."""
        if self._notifier.watchdog_s is None:
            return
        every_s = self._notifier.watchdog_s / 2
        self._timer = self._loop.call_later(every_s, self._feed)
        if self._node is None or self._node.is_alive(every_s):
            self._notifier.alive()


LIFE: ContextVar[Life] = ContextVar("LIFE")
"""Of the run that this task is part of."""


def standing(node: Node) -> str:
    """In the Tox network or not, and how many of the peers are there."""
    peers = list(node)
    online = sum(peer.online for peer in peers)
    network = "not in the Tox network" if node.connection.path == "none" else f"Tox: {node.connection.path}"
    return f"{network}; {online} of {len(peers)} peers online"


def has_terminal() -> bool:
    """Whether there is a terminal whose end is told to us by SIGHUP."""
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY))
    except OSError:
        return False
    return True
