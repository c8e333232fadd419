"""A node of the program's own: its identity, the peers that it calls, and who may call it."""

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Literal
from weakref import WeakSet, WeakValueDictionary

from ..config.options import NodeOptions
from ..daemon.calling import CallingNode, calling_node
from ..errors import ClosedError, UsageError
from ..members.friends import Authority, Grant
from ..members.peers import ConfiguredPeer, May, parse_peer, updated
from ..process.lifecycle import Lifecycle
from ..process.notify import Notifier
from ..state.places import find_places
from ..tcpforward.caller import Caller
from ..tcpforward.spec import RoadPolicy, Target, parse_host
from ..tox import events as tox_events
from ..tox.proxy import Proxy, parse_proxy
from ..wire import invite as invites
from ..wire.ports import parse_port
from ..wire.secret import check_usable
from ..wire.toxid import parse_public_key_or_id
from .events import Event, Events, NetworkEvent, PeerEvent
from .forward import Forward
from .peer import Peer
from .server import Handler, Server, Servers
from .streams import OpenStreams

LINGER_S = 5.0
"""How long the end of a node waits for the last bytes of streams that the program has closed."""


@contextlib.asynccontextmanager
async def node(
    directory: "str | os.PathLike[str] | None" = None,
    *,
    secret: str | bytes | None = None,
    allow: Iterable[str] = (),
    nodes_file: "str | os.PathLike[str] | None" = None,
    proxy: str | None = None,
    road: Literal["auto", "fast", "tuntox"] = "auto",
) -> AsyncIterator["Node"]:
    """A node in the Tox network, inside the `async with`.

    `directory` keeps the identity, and whom invites have let in; one process at a time can use it. Without it
    the node has a new Tox ID each time, and leaves no trace.

    A peer may open streams to the servers of this node if it sends `secret` (as for `toxvpn -s`), if `allow`
    has its Tox ID or public key, or if it came by an invite (`Node.invite`). Nobody else may.

    `nodes_file` has the bootstrap nodes, in the format of nodes.tox.chat/json; without it the built-in ones
    are asked. `proxy` is socks5://HOST:PORT or http://HOST:PORT: Tox is reached only through that. `road` is
    for all streams of the node; with "tuntox" it starts no helper process.

    The block begins at once, before the node is in the network. Its end cancels the handlers and resets the
    streams that are open; no task, descriptor or process is left.

    Raises UsageError (a bad ID, secret, proxy or road), ConfigError (a file), NoPermissionError, and
    ToxvpnError if another process uses the directory.
    """
    if road not in list(RoadPolicy):
        raise UsageError(f"the road {road!r} does not exist: give 'auto', 'fast' or 'tuntox'")
    options = NodeOptions(
        directory=None if directory is None else Path(directory),
        nodes_file=None if nodes_file is None else Path(nodes_file),
        proxy=_proxy(proxy),
    )
    data = None if directory is None else find_places(options.directory).data
    authority = Authority(secret=secret_bytes(secret))
    allowed = [ConfiguredPeer(parse_public_key_or_id(each)) for each in allow]
    lifecycle = Lifecycle(Notifier({}))
    streams = OpenStreams()
    servers = Servers(streams)
    async with calling_node(options, data, lifecycle, RoadPolicy(road), servers.beside) as calling:
        made = Node(calling, authority, allowed, servers, streams)
        linger_s = 0.0
        try:
            made._start()
            yield made
            linger_s = LINGER_S
        finally:
            await made._close(linger_s)


class Node:
    """Made by `toxvpn.node`. All of it belongs to the event loop that it was made in."""

    def __init__(
        self,
        calling: CallingNode,
        authority: Authority,
        allowed: list[ConfiguredPeer],
        servers: Servers,
        streams: OpenStreams,
    ) -> None:
        self.id = calling.run.node.tox.address.hex().upper()
        """This node's Tox ID, 76 hexadecimal digits: with it others call the node."""
        self._node = calling.run.node
        self._calling = calling
        self._authority = authority
        self._allowed = {each.public_key for each in allowed}
        self._named = {each.public_key: each for each in allowed}
        self._roster = calling.run.roster(authority, allowed)
        self._roster.offers = frozenset({May.FORWARDS})
        self._servers = servers
        self._streams = streams
        servers.admit = self._admit
        self._peers: WeakValueDictionary[bytes, Peer] = WeakValueDictionary()
        self._events: WeakSet[Events] = WeakSet()
        self._forwards: set[Forward] = set()
        self._waits: set[asyncio.Timeout] = set()
        self._closed = False

    # -- peers ---------------------------------------------------------------------------------

    def peer(self, whom: str, *, secret: str | bytes | None = None) -> Peer:
        """Calls a peer: by its Tox ID and the secret that it asks for, if it does, or by an invite of it.

        Returns at once; the node looks for the peer, and asks it again while it is away. A public key will do
        for a peer that calls us. That we call a peer does not let it open streams here. A secret or an invite
        is not sent to a peer that is connected already: where two call each other, one allows the other.

        Raises UsageError: not an ID, our own, an invite that has expired, or a secret that cannot be sent.
        """
        self._check_open()
        new = replace(parse_peer(whom, None, time.time()), secret=secret_bytes(secret))
        key = new.public_key
        came_in = self._roster.grant(key) not in (None, Grant.PEER)
        if not came_in or new.invite or new.secret:
            if self._admit(key) is not None:
                self._allowed.add(key)  # whatever let it in: to be called takes nothing from it
            named = {**self._named, key: updated(self._named.get(key), new)}
            with self._roster.changed(self._authority, named.values()):
                self._named = named
        return self._peer(key)

    def invite(self, lifetime_s: float = 86400.0) -> str:
        """An invite, which lets one machine call this node and open streams to its servers: keep it secret.

        `lifetime_s` is from a minute to a year. With a `directory` the machine stays let in when this program
        starts again. Raises UsageError, ToxvpnError (a full disk).
        """
        self._check_open()
        return invites.encode(self._roster.invite(lifetime_s))

    def events(self) -> AsyncIterator[Event]:
        """What happens from now on, for `async for`; it ends when the node does.

        When the program is slow, it gets of each peer the last change only.
        """
        events = Events()
        if self._closed:
            events.end()
        self._events.add(events)
        return events

    # -- streams -------------------------------------------------------------------------------

    async def open_connection(
        self, peer: Peer, host: str, port: int, *, limit: int = 65536
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """As asyncio.open_connection, but the peer connects, to what it knows as host:port.

        Waits up to a minute for a peer that is not connected. A reset is a ConnectionResetError for who reads
        and who writes, and `writer.transport.abort()` resets the stream. `writer.start_tls` works.

        Raises StreamOpenError (the peer refuses, or cannot connect: `code` says what), PeerOfflineError,
        UsageError (host or port), ClosedError.
        """
        target, caller = _target(host, port), self._caller(peer)
        reader = asyncio.StreamReader(limit)
        protocol = asyncio.StreamReaderProtocol(reader)
        async with self._while_open():
            stream = await caller.open(target)
            transport = await self._streams.call(stream, peer, protocol)
        return reader, asyncio.StreamWriter(transport, protocol, reader, asyncio.get_running_loop())

    async def start_server(self, handler: Handler, port: int, *, limit: int = 65536) -> Server:
        """As asyncio.start_server, for streams that peers open to localhost:`port` of this node.

        Nothing listens on the machine itself. `writer.get_extra_info("peer")` is the Peer that calls. A
        handler that raises, or is cancelled, resets its stream.

        Raises UsageError: the port has a handler already, or is not a port.
        """
        self._check_open()
        return self._servers.add(handler, port, limit)

    def listen(
        self, peer: Peer, host: str, port: int, *, local_host: str = "127.0.0.1", local_port: int = 0
    ) -> Forward:
        """Listens on a port of this machine, 0 for a free one; connections to it go to host:port at the peer.

        For libraries that want a host and a port. All programs and users of this machine can connect to it.

        Raises UsageError, ToxvpnError (a port in use), NoPermissionError, ClosedError.
        """
        forward = Forward(
            self._caller(peer), _target(host, port), local_host, local_port, self._forwards.discard
        )
        self._forwards.add(forward)
        return forward

    # -- inside --------------------------------------------------------------------------------

    def _start(self) -> None:
        self._node.subscribe(self._on_event)
        self._roster.start()
        self._node.start()

    async def _close(self, linger_s: float) -> None:
        self._closed = True
        for wait in self._waits:
            wait.reschedule(0)
        while self._waits:
            await asyncio.sleep(0)
        for events in self._events:
            events.end()
        for forward in list(self._forwards):
            await forward.aclose()
        await self._servers.close()
        await self._streams.close(linger_s)

    def _check_open(self) -> None:
        if self._closed:
            raise ClosedError("the node has ended")

    @contextlib.asynccontextmanager
    async def _while_open(self) -> AsyncIterator[None]:
        """Raises ClosedError in the block when the node ends."""
        self._check_open()
        wait = asyncio.timeout(None)
        try:
            async with wait:
                self._waits.add(wait)
                yield
        except TimeoutError:
            if wait.expired():
                raise ClosedError("the node has ended meanwhile") from None
            raise
        finally:
            self._waits.discard(wait)

    def _admit(self, public_key: bytes) -> Peer | None:
        """The peer, if it may open streams here."""
        by_secret = self._roster.grant(public_key) is Grant.SECRET
        invited = May.FORWARDS in (self._roster.may(public_key) or ())
        if public_key in self._allowed or by_secret or invited:
            return self._peer(public_key)
        return None

    def _peer(self, public_key: bytes) -> Peer:
        found = self._peers.get(public_key)
        if found is None:
            found = self._peers[public_key] = Peer(public_key, self._node.peer, self._until_online)
        return found

    def _caller(self, peer: Peer) -> Caller:
        """Raises UsageError, ClosedError."""
        self._check_open()
        public_key = bytes.fromhex(peer.key)
        if self._peers.get(public_key) is not peer:
            raise UsageError(f"peer {peer.key[:8]} is of another node: get it from this one's peer()")
        return self._calling.callers.get(public_key)

    async def _until_online(self, public_key: bytes) -> None:
        async with self._while_open():
            await self._calling.callers.get(public_key).wait_online(None)

    def _on_event(self, event: tox_events.Event) -> None:
        match event:
            case tox_events.SelfConnection(connection):
                self._tell(NetworkEvent(connection.path))
            case tox_events.PeerConnection(peer):
                self._tell(PeerEvent(self._peer(peer.public_key), peer.connection.path))

    def _tell(self, event: Event) -> None:
        for events in self._events:
            events.add(event)


def _target(host: str, port: int) -> Target:
    """Raises UsageError."""
    try:
        return Target(parse_host(host), parse_port(str(port)))
    except ValueError as error:
        raise UsageError(f"target {host!r}, {port!r}: {error}") from None


def _proxy(text: str | None) -> Proxy | None:
    """Raises UsageError."""
    try:
        return None if text is None else parse_proxy(text)
    except ValueError as error:
        raise UsageError(f"proxy {text!r}: {error}") from None


def secret_bytes(secret: str | bytes | None) -> bytes | None:
    """Raises UsageError."""
    given = secret.encode() if isinstance(secret, str) else secret
    if given is not None:
        check_usable(given)
    return given
