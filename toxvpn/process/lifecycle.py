"""The stages of a run, from bound sockets to its end; reports each to systemd and to a waiting terminal.

Made by run.py inside the loop, and handed to the work that the run does. The work calls `sockets_bound` and
`ready` when it gets there, may register what a reload does, and ends when `stopping` is set. Neighbours:
notify.py tells systemd, background.py the terminal, privileges.py drops the privileges.
"""

import asyncio
import logging
import os
from collections.abc import Callable, Iterable

from ..errors import ToxvpnError
from ..tox.events import Event, PeerConnection, PeerRemoved, SelfConnection
from ..tox.node import Node
from .notify import Notifier

log = logging.getLogger("toxvpn")

Reload = Callable[[], Iterable[str]]
"""Reads the files again and returns what changed, a line each. Raises ToxvpnError, having changed nothing."""


class Lifecycle:
    """`on_sockets_bound` and `on_ready` are called once each, in this order."""

    def __init__(
        self,
        notifier: Notifier,
        *,
        on_sockets_bound: Callable[[], None] = lambda: None,
        on_ready: Callable[[], None] = lambda: None,
    ) -> None:
        self.stopping = asyncio.Event()
        self.sockets_bound = on_sockets_bound
        """To be called once toxcore's sockets are bound, before a packet is read."""
        self.interrupted = False
        """Whether a person has pressed Ctrl-C."""
        self._failure: ToxvpnError | None = None
        self._notifier = notifier
        self._on_ready = on_ready
        self._reload: Reload | None = None
        self._status = ""
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._node: Node | None = None
        self._feed_watchdog()

    def ready(self) -> None:
        """To be called once it serves: listeners are bound, the Tox ID is known. Raises ToxvpnError."""
        self._notifier.ready()
        self._on_ready()

    async def ended(self) -> None:
        """Returns when the run is to end. Raises the error given to `fail`."""
        await self.stopping.wait()
        if self._failure is not None:
            raise self._failure

    def fail(self, error: ToxvpnError) -> None:
        """Ends the run with that error."""
        self._failure = error
        self.stopping.set()

    @property
    def dismissed(self) -> bool:
        """Whether a person ended the run, by `toxvpn down` or Ctrl-C: no failure, and no service manager."""
        return self.interrupted or (self.stopping.is_set() and self._failure is None)

    def watch(self, node: Node) -> None:
        """Keeps systemd's status line true, and feeds its watchdog only while that node takes its turns."""
        self._node = node

        def on_event(event: Event) -> None:
            if isinstance(event, SelfConnection | PeerConnection | PeerRemoved):
                self._send_status(status_line(node))

        node.subscribe(on_event)
        self._send_status(status_line(node))

    @property
    def can_reload(self) -> bool:
        return self._reload is not None

    def on_reload(self, reload: Reload) -> None:
        self._reload = reload

    def reload(self) -> None:
        if self._reload is None:
            log.info("reload: this run uses no files, so there is nothing to read again")
            return
        self._notifier.reloading()
        try:
            for line in self._reload():
                log.info("reload: %s", line)
        except ToxvpnError as failure:
            log.error("reload failed, nothing was changed: %s", failure)
        except Exception:
            log.exception("reload failed, nothing was changed")
        finally:
            self._notifier.ready()

    def close(self) -> None:
        self._notifier.stopping()
        if self._timer is not None:
            self._timer.cancel()
        self._notifier.close()

    def _send_status(self, line: str) -> None:
        if line != self._status:
            self._status = line
            self._notifier.status(line)

    def _feed_watchdog(self) -> None:
        """Feeds it while loop and node are alive; when one of them hangs, systemd restarts the service."""
        if self._notifier.watchdog_s is None:
            return
        every_s = self._notifier.watchdog_s / 2
        self._timer = self._loop.call_later(every_s, self._feed_watchdog)
        if self._node is None or self._node.is_alive(every_s):
            self._notifier.alive()


def status_line(node: Node) -> str:
    """Whether the node is connected to the Tox network, and how many peers are online."""
    peers = list(node)
    online = sum(peer.online for peer in peers)
    network = "not in the Tox network" if node.connection.path == "none" else f"Tox: {node.connection.path}"
    return f"{network}; {online} of {len(peers)} peers online"


def has_terminal() -> bool:
    """Whether this process has a controlling terminal, whose closing would send us SIGHUP."""
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY))
    except OSError:
        return False
    return True
