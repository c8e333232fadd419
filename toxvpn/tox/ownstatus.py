"""Our own status message, to which several parts of the program contribute."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from ipaddress import IPv4Address
from typing import Any

from .. import __version__
from ..wire.statusmessage import MAX_STATUS_BYTES, Status, ToxvpnStatus, fit
from .node import Node

log = logging.getLogger("toxvpn.tox")


class OwnStatus:
    """Sets the status message on every change; peers that are offline get it when they connect."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self.on_change: Callable[[], None] = lambda: None
        self._left_out: list[str] = []
        self._status = Status(toxvpn=ToxvpnStatus(bundles=True, version=__version__))
        self._publish()

    def set_ipv4(self, addresses: Sequence[IPv4Address]) -> None:
        """The first address is the one that every peer reads, toxvpn in C++ too."""
        first = addresses[0] if addresses else None
        self._status = replace(self._status, ip4=first)
        self.set(more_ip4=tuple(addresses[1:]))

    def set(self, **fields: Any) -> None:
        """Sets fields of ToxvpnStatus; warns of what the message has no room for."""
        assert self._status.toxvpn is not None
        self._status = replace(self._status, toxvpn=replace(self._status.toxvpn, **fields))
        self._publish()

    def _publish(self) -> None:
        text, left_out = fit(self._status)
        if left_out and left_out != self._left_out:
            log.warning(
                "peers do not learn of %s: what this machine tells of itself must fit %d bytes; "
                "advertise fewer networks, or give it a shorter name",
                ", ".join(left_out), MAX_STATUS_BYTES,
            )  # fmt: skip
        self._left_out = left_out
        if text != self._node.tox.status_message:
            self._node.tox.status_message = text
            self.on_change()
