"""The control commands of runs with peers: changing peers and invites while toxvpn runs.

In: requests from server.py. Out: calls to the roster, and results for cli/{peer,invite,join}.py.
"""

import time
from collections.abc import Callable
from dataclasses import replace

from ..config.access import checked_allow
from ..members.peers import Allow, ConfiguredPeer, May, parse_may, parse_peer
from ..members.roster import Roster
from ..wire import invite
from ..wire.routegrant import parse_grant
from .protocol import BadRequestError, ControlRequest
from .server import ControlServer


class PeerCommands:
    """Registers its commands with `server`."""

    def __init__(self, server: ControlServer, roster: Roster, wall: Callable[[], float] = time.time) -> None:
        self._roster = roster
        self._wall = wall
        server.register("peer-add", self.add)
        server.register("peer-name", self.name)
        server.register("peer-remove", self.remove)
        server.register("peer-accept", self.accept)
        server.register("peer-route", self.route)
        server.register("peer-allow", self.allow)
        server.register("peer-block", self.block)
        server.register("peer-unblock", self.unblock)
        server.register("invite", self.invite)
        server.register("invite-list", self.invites)
        server.register("invite-revoke", self.revoke)

    async def add(self, request: ControlRequest) -> object:
        """`peer` is a Tox ID, a public key or an invite."""
        peer = parse_peer(request.text("peer"), request.optional_text("name"), self._wall())
        kept = self._roster.add(replace(peer, may=may_of(request)))
        return peer_answer(kept) | {"may": sorted(self._roster.may(kept.public_key) or ())}

    async def name(self, request: ControlRequest) -> object:
        return peer_answer(self._roster.rename(request.text("peer"), request.text("name")))

    async def remove(self, request: ControlRequest) -> object:
        member = self._roster.remove(request.text("peer"))
        return peer_answer(member.peer or ConfiguredPeer(member.public_key))

    async def accept(self, request: ControlRequest) -> object:
        selector, name = request.text("peer"), request.optional_text("name")
        return peer_answer(self._roster.accept(selector, name, may_of(request), allow_of(request)))

    async def allow(self, request: ControlRequest) -> object:
        """Replace what `peer` may reach here by the rules in `allow`."""
        return peer_answer(self._roster.allow(request.text("peer"), allow_of(request) or ()))

    async def route(self, request: ControlRequest) -> object:
        """`routes`: the networks behind the peer that are used, or `all`, or `none`."""
        return peer_answer(
            self._roster.use_routes(request.text("peer"), parse_grant(request.texts("routes")))
        )

    async def block(self, request: ControlRequest) -> object:
        """Block a peer; `grant` in the answer is what had let it in."""
        member = self._roster.block(request.text("peer"))
        grant = member.grant.value if member.grant else None
        return peer_answer(member.peer or ConfiguredPeer(member.public_key)) | {"grant": grant}

    async def unblock(self, request: ControlRequest) -> object:
        found = self._roster.unblock(request.text("peer"))
        return peer_answer(ConfiguredPeer(found.public_key, name=found.name))

    async def invite(self, request: ControlRequest) -> object:
        lifetime_s = request.optional_number("lifetime_s") or 0
        asked = may_of(request)
        may = self._roster.offers if asked is None else asked
        allow = allow_of(request)
        made = self._roster.invite(lifetime_s, request.optional_text("name"), may, allow)
        token = invite.encode(made)
        return {"token": token, "expires": made.expires, "may": sorted(may), "allow": allow}

    async def invites(self, _: ControlRequest) -> object:
        return [outstanding.described() for outstanding in self._roster.members.invites]

    async def revoke(self, request: ControlRequest) -> object:
        return self._roster.members.revoke(request.text("invite")).described()


def may_of(request: ControlRequest) -> frozenset[May] | None:
    """The rights listed in `may`; None when it is left out. Raises BadRequestError."""
    if "may" not in request.arguments:
        return None
    try:
        return parse_may(request.texts("may"))
    except ValueError as error:
        raise BadRequestError(f"'may' of {request.do!r}: {error}") from None


def allow_of(request: ControlRequest) -> Allow | None:
    """The rules in `allow`; None when it is left out. Raises UsageError."""
    return checked_allow(request.texts("allow")) if "allow" in request.arguments else None


def peer_answer(peer: ConfiguredPeer) -> dict[str, str | None]:
    """A peer as answers describe it."""
    return {"public_key": peer.public_key.hex().upper(), "name": peer.name}
