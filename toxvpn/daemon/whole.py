"""`toxvpn run`: everything that config.toml switches on, in one process with one identity.

Made once from the file; `reload` reads it again and changes only what differs. What is about the node
or the device itself (ports, MTU, interface) is told to need a restart.
"""

import contextlib
import logging
from dataclasses import dataclass
from functools import partial

from ..config import INTERFACE, RunOptions
from ..configfile import Config, ForwardSection, PeerSection, load
from ..control.status import ForwardState
from ..tcpforward import socks
from ..tcpforward.client import Client
from ..tcpforward.forwarding import Forwarding
from ..tcpforward.listen import Listener
from ..tcpforward.rules import Rules
from ..tcpforward.server import Server
from ..tcpforward.spec import Road
from ..tox.friends import Authority
from ..tox.peers import ConfiguredPeer
from ..tox.places import Places, find_places, make
from ..tox.roster import Roster
from ..tox.secretfile import kept_secret, read_secret_file
from ..tun.vpn import JOURNAL_NAME, Vpn, VpnOptions
from .base import Base, base
from .control import Source, controlled

log = logging.getLogger("toxvpn")

NOTHING = Rules(())


async def whole(options: RunOptions) -> None:
    """Raises ToxvpnError when anything of it cannot be had."""
    config = load(options.config_file)
    places = find_places(options.directory)
    async with base(options, places.data) as run, contextlib.AsyncExitStack() as undo:
        parts = Parts(run, places, config, undo)
        source = Source(run, "up" if parts.vpn else "server", parts.roster, parts.vpn, parts.forward_states)
        reload = partial(_reload, options, parts)
        control = controlled(
            run,
            places.runtime,
            source,
            parts.forwarding.lossless,
            parts.roster,
            reload,
        )
        async with control:
            parts.start()
            run.life.on_reload(reload)
            run.life.ready()
            await run.stopping.wait()


def _reload(options: RunOptions, parts: "Parts") -> list[str]:
    """What was changed, a line each. Raises ToxvpnError; then everything is as it was."""
    return parts.apply(load(options.config_file))


@dataclass(slots=True)
class _Forward:
    section: ForwardSection
    listener: Listener
    client: Client


class Parts:
    """What runs. Closed through `undo`, in reverse."""

    def __init__(self, run: Base, places: Places, config: Config, undo: contextlib.AsyncExitStack) -> None:
        self._run = run
        self._places = places
        self._config = config
        self._started = False
        self._forwards: list[_Forward] = []
        self._clients: dict[bytes, Client] = {}
        self.roster: Roster = run.roster(self._authority(config), configured(config))
        self._server = Server(*_policy(config))
        serves = config.server is not None or any(peer.allow is not None for peer in config.peers.values())
        self.forwarding = Forwarding(
            run.node, run.announcement, Road.AUTO, self._server.serve if serves else None
        )
        undo.push_async_callback(self.forwarding.close)
        self.vpn = undo.enter_context(self._make_vpn(config)) if config.vpn is not None else None
        undo.push_async_callback(self._close_forwards)
        self._set_forwards(config)

    def start(self) -> None:
        self.roster.start()
        if self.vpn is not None:
            self.vpn.review()
        self._run.node.start()
        self._started = True
        for forward in self._forwards:
            forward.listener.start()

    def apply(self, new: Config) -> list[str]:
        """Changes what differs; returns what was done. Raises ToxvpnError, with everything as it was."""
        old = self._config
        authority = self._authority(new)
        done = _needs_restart(old, new)
        self._set_forwards(new)  # first: a port in use changes nothing
        self.roster.reconfigure(authority, configured(new))
        self._server.rules, self._server.grants = _policy(new)
        self._config = new
        if self.vpn is not None:
            self.vpn.review()
        return done + _differences(old, new)

    def forward_states(self) -> list[ForwardState]:
        return [
            ForwardState(
                listen=str(forward.section.listen),
                target="socks5" if forward.section.target is None else str(forward.section.target),
                road="fast" if self.forwarding.roads.choice(forward.client.peer)[0] == "fast" else "tuntox",
                streams=forward.listener.connections,
            )
            for forward in self._forwards
        ]

    # -- who may come in

    def _authority(self, config: Config) -> Authority:
        server = config.server
        if server is None:
            return Authority()
        secret = read_secret_file(server.secret_file) if server.secret_file else None
        if secret is None and not server.whitelist and not server.open and not config.peers:
            secret = kept_secret(self._places.data)[0]
        return Authority(whitelist=server.whitelist, secret=secret, open=server.open)

    # -- the VPN

    def _make_vpn(self, config: Config) -> Vpn:
        section = config.vpn
        assert section is not None
        options = VpnOptions(
            interface=section.interface or INTERFACE,
            address=section.address,
            mtu=section.mtu or VpnOptions().mtu,
        )
        if section.name is not None:
            self._run.announcement.set(name=section.name)
        journal = make(self._places.runtime) / JOURNAL_NAME
        return Vpn(self._run.node, self._run.announcement, options, journal, self._belongs)

    def _belongs(self, public_key: bytes) -> bool:
        """A peer is on the network unless the file says no; who came by the secret is not."""
        for peer in self._config.peers.values():
            if peer.public_key == public_key:
                return peer.vpn
        return public_key in self.roster.peers()

    # -- forwards

    def _set_forwards(self, config: Config) -> None:
        """Listeners that stay are not touched. Raises ToxvpnError, with everything as it was."""
        wanted = config.forwards
        fresh: list[_Forward] = []
        with contextlib.ExitStack() as undo:
            for section in wanted:
                if not any(forward.section == section for forward in self._forwards):
                    fresh.append(self._open(config, section))
                    undo.callback(fresh[-1].listener.stop_listening)
            undo.pop_all()
        for forward in [forward for forward in self._forwards if forward.section not in wanted]:
            self._forwards.remove(forward)
            forward.listener.stop_listening()  # its streams go on
        self._forwards += fresh
        if self._started:
            for forward in fresh:
                forward.listener.start()

    def _open(self, config: Config, section: ForwardSection) -> _Forward:
        client = self._client(config.peers[section.peer])
        if section.target is None:
            listener = Listener(section.listen, partial(socks.carry, client))
        else:
            listener = Listener(section.listen, partial(client.carry, target=section.target))
        return _Forward(section, listener, client)

    def _client(self, peer: PeerSection) -> Client:
        client = self._clients.get(peer.public_key)
        if client is None:
            friend = self._run.node.peer(peer.public_key) or self._run.node.accept(peer.public_key)
            client = self._clients[peer.public_key] = Client(self._run.node, friend, self.forwarding.roads)
        return client

    async def _close_forwards(self) -> None:
        for forward in self._forwards:
            await forward.listener.close()


def configured(config: Config) -> list[ConfiguredPeer]:
    """The peers of the file. Raises ConfigError: a secret file."""
    return [
        ConfiguredPeer(
            peer.public_key,
            peer.nospam,
            name,
            secret=read_secret_file(peer.secret_file) if peer.secret_file else None,
        )
        for name, peer in config.peers.items()
    ]


def _policy(config: Config) -> tuple[Rules, dict[bytes, Rules]]:
    """What everybody may reach, and what single peers may. Without [server], only what is granted."""
    rules = NOTHING if config.server is None else config.server.allow or Rules()
    return rules, {peer.public_key: peer.allow for peer in config.peers.values() if peer.allow is not None}


def _needs_restart(old: Config, new: Config) -> list[str]:
    lines = []
    if old.node != new.node:
        lines.append("[node] has changed: that takes a restart")
    if old.vpn != new.vpn:
        lines.append("[vpn] has changed: that takes a restart")
    if (old.server is None) != (new.server is None):
        lines.append("[server] was switched: that takes a restart")
    return lines


def _differences(old: Config, new: Config) -> list[str]:
    lines = [f"peer {name} added" for name in new.peers if name not in old.peers]
    lines += [f"peer {name} removed" for name in old.peers if name not in new.peers]
    lines += [
        f"peer {name} changed"
        for name in new.peers
        if name in old.peers and old.peers[name] != new.peers[name]
    ]
    lines += [f"listening on {each.listen}" for each in new.forwards if each not in old.forwards]
    lines += [f"no longer listening on {each.listen}" for each in old.forwards if each not in new.forwards]
    if old.server != new.server:
        lines.append("[server] changed")
    return lines
