"""What a running toxvpn that has a roster answers: peers and invites, changed while it runs.

In: requests (server.py). Out: results for cli/peer.py, cli/invite.py and cli/join.py; the roster acts.
"""

import time
from collections.abc import Callable
from dataclasses import replace

from ..members.known import ConfiguredPeer, May, parse_may, parse_peer
from ..members.roster import Roster
from ..wire import invite as wire
from .protocol import BadRequestError, ControlRequest
from .server import ControlServer


class PeerCommands:
    """Registers its words with `server`."""

    def __init__(self, server: ControlServer, roster: Roster, wall: Callable[[], float] = time.time) -> None:
        self._roster = roster
        self._wall = wall
        server.register("peer-add", self.add)
        server.register("peer-name", self.name)
        server.register("peer-remove", self.remove)
        server.register("peer-accept", self.accept)
        server.register("peer-block", self.block)
        server.register("peer-unblock", self.unblock)
        server.register("invite", self.invite)
        server.register("invite-list", self.invites)
        server.register("invite-revoke", self.revoke)

    async def add(self, request: ControlRequest) -> object:
        """`peer` is a Tox ID, a public key or an invite."""
        peer = parse_peer(request.text("peer"), request.optional_text("name"), self._wall())
        kept = self._roster.add(replace(peer, may=may_of(request)))
        return described(kept) | {"may": sorted(self._roster.may(kept.public_key) or ())}

    async def name(self, request: ControlRequest) -> object:
        return described(self._roster.rename(request.text("peer"), request.text("name")))

    async def remove(self, request: ControlRequest) -> object:
        member = self._roster.remove(request.text("peer"))
        return described(member.peer or ConfiguredPeer(member.public_key))

    async def accept(self, request: ControlRequest) -> object:
        selector, name = request.text("peer"), request.optional_text("name")
        return described(self._roster.accept(selector, name, may_of(request)))

    async def block(self, request: ControlRequest) -> object:
        """The answer's `grant` is what had let it in."""
        member = self._roster.block(request.text("peer"))
        grant = member.grant.value if member.grant else None
        return described(member.peer or ConfiguredPeer(member.public_key)) | {"grant": grant}

    async def unblock(self, request: ControlRequest) -> object:
        found = self._roster.unblock(request.text("peer"))
        return described(ConfiguredPeer(found.public_key, name=found.name))

    async def invite(self, request: ControlRequest) -> object:
        lifetime_s = request.optional_number("lifetime_s") or 0
        asked = may_of(request)
        may = self._roster.offers if asked is None else asked
        made = self._roster.invite(lifetime_s, request.optional_text("name"), may)
        return {"token": wire.encode(made), "expires": made.expires, "may": sorted(may)}

    async def invites(self, _: ControlRequest) -> object:
        return [outstanding.described() for outstanding in self._roster.members.invites]

    async def revoke(self, request: ControlRequest) -> object:
        return self._roster.members.revoke(request.text("invite")).described()


def may_of(request: ControlRequest) -> frozenset[May] | None:
    """What `may` lists; None when it is left out. Raises BadRequestError."""
    if "may" not in request.arguments:
        return None
    try:
        return parse_may(request.texts("may"))
    except ValueError as error:
        raise BadRequestError(f"'may' of {request.do!r}: {error}") from None


def described(peer: ConfiguredPeer) -> dict[str, str | None]:
    """A peer in an answer."""
    return {"public_key": peer.public_key.hex().upper(), "name": peer.name}
