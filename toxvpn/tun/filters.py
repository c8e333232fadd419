"""What each peer may reach over the VPN: puts its rules in force in the datapath, and tells what they say.

In: for each peer the rules for it, each with the line that a person wrote. Out: the datapath's rules, which
it applies to every packet (wire/policy.py). A peer without rules may reach every destination that the
datapath lets it send to.
"""

import logging
from collections.abc import Callable, Mapping
from typing import NamedTuple

from .._native.path.datapath import Datapath
from .._native.path.packets import FilterRule, Sending
from ..tox.peer import Peer
from ..wire.policy import IPAddress

log = logging.getLogger("toxvpn.tun")

Reach = Mapping[FilterRule, str]
"""Rules in their order, and the line of each."""


class Verdict(NamedTuple):
    """`why`: the rule that allows it, or what else decides."""

    allowed: bool
    why: str


class Filters:
    """`reach_of` gives the rules for a public key; None: nothing limits it."""

    def __init__(self, datapath: Datapath, reach_of: Callable[[bytes], Reach | None]) -> None:
        self._datapath = datapath
        self._reach_of = reach_of
        self._told: dict[bytes, tuple[str, ...] | None] = {}

    def apply(self, peer: Peer) -> None:
        """Puts in force what the rules for the peer say now; before it gets an address."""
        reach = self._reach_of(peer.public_key)
        self._datapath.set_policy(peer.number, None if reach is None else list(reach))
        lines = self.lines(peer.public_key)
        if self._told.get(peer.public_key) != lines:
            text = "all of this machine" if lines is None else ", ".join(lines) or "nothing here"
            peer.log(log, logging.INFO, "may reach over the VPN: %s", text)
        self._told[peer.public_key] = lines

    def lines(self, public_key: bytes) -> tuple[str, ...] | None:
        """The rules for the peer, as a person wrote them; None: nothing limits it."""
        reach = self._reach_of(public_key)
        return None if reach is None else tuple(dict.fromkeys(reach.values()))

    def judge(self, peer: Peer, destination: IPAddress, protocol: int, port: int) -> Verdict:
        """What the datapath would say to a first packet of the peer's."""
        match self._datapath.sending_to(peer.number, destination):
            case Sending.FORBIDDEN:
                return Verdict(False, f"{destination} is not this machine, and not behind it for that peer")
            case Sending.OUTSIDE:
                return Verdict(True, "it may exit through this machine")
        reach = self._reach_of(peer.public_key)
        if reach is None:
            return Verdict(True, "it has no `allow`: all of this machine is open to it")
        index = self._datapath.judge(peer.number, destination, protocol, port)
        if index is None:
            rules = ", ".join(reach.values()) or "which is empty"
            return Verdict(False, f"no rule of its `allow` is for that: {rules}")
        return Verdict(True, f"by the rule {list(reach.values())[index]!r}")
