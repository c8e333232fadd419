"""Reads config.toml: text in, a frozen Config out, or one line that names file, key and accepted form.

    [node]                                 # how to be on the Tox network
    udp_ports = "20000:20100"
    [server]                               # serve forwards
    secret_file = "secret"
    allow = ["localhost:22"]
    [vpn]                                  # be on the network of the peers
    address = "10.9.8.7/24"
    [peers.box]                            # a peer, its name, and what it may do
    id = "<Tox ID or public key>"
    allow = ["localhost:*", "10.0.0.0/8:443"]
    vpn = false
    [[forwards]]                           # as -L
    peer = "box"
    listen = "2222"
    target = "localhost:22"
    [[socks]]                              # as -D
    peer = "box"
    listen = "1080"
    [[remote_forwards]]                    # as -R
    peer = "box"
    listen = "8080"
    target = "localhost:80"

The keys are in model.py's sections. Relative paths are relative to the file. The presence of a section
switches its part on. flags.py lets the flags override what the file says.
"""

import difflib
import itertools
import os
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from ..errors import ConfigError, UsageError
from ..members.peers import check_name, same_name
from ..state.files import open_given
from ..tcpforward.spec import ONLY_STREAMS, Transport, UnixListen
from ..tcpforward.unix.paths import is_path
from .keys import Key, Section
from .model import Config
from .node import NODE, NodeSection
from .peers import FORWARD, PEER, REMOTE, SOCKS, ForwardSection, PeerSection, RemoteForwardSection
from .server import SERVER, ServerSection
from .vpn import VPN, VpnSection

T = TypeVar("T")

TOP = ("node", "server", "vpn", "peers", "forwards", "socks", "remote_forwards")


def load(path: Path) -> Config:
    """Reads and parses the file. Raises ConfigError when it cannot be read, or something in it is wrong."""
    try:
        with open_given(path) as file:
            owner = os.fstat(file.fileno()).st_uid
            text = file.read().decode()
    except OSError as failure:
        raise ConfigError(_cannot_read(path, failure)) from failure
    except UnicodeDecodeError as failure:
        raise ConfigError(f"{path}: the configuration cannot be read: it is not UTF-8") from failure
    config = parse(text, path)
    return config if os.geteuid() != 0 or owner == 0 else replace(config, owner=owner)


def _cannot_read(path: Path, failure: OSError) -> str:
    line = f"{path}: the configuration cannot be read: {failure.strerror}"
    if isinstance(failure, FileNotFoundError):
        line += "; write it (docs/configuration.md has an example), or name another one with --config"
    return line


def parse(text: str, path: Path) -> Config:
    """Parses the text of the file at `path`. Raises ConfigError."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as failure:
        raise ConfigError(f"{path}: not TOML: {failure}") from None
    return _Reader(path).config(document)


class _Reader:
    """Turns a document into sections; its errors name the file and the key."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._given: dict[str, Any] = {}
        self._listens: dict[str, str] = {}

    def config(self, document: dict[str, Any]) -> Config:
        self._refuse_unknown("", document, TOP)
        named = self._table("peers", document.get("peers", {}))
        peers = {name: self._peer(name, table) for name, table in named.items()}
        self._refuse_twin_peers(peers)
        config = Config(
            path=self._path,
            node=NodeSection(**self._values("node", document.get("node", {}), NODE.keys)),
            server=self._optional(SERVER, document, ServerSection),
            vpn=self._optional(VPN, document, VpnSection),
            peers=peers,
            forwards=(
                *self._forwards("forwards", document, peers, FORWARD.keys),
                *self._forwards("socks", document, peers, SOCKS.keys),
            ),
            remote_forwards=tuple(self._remote_forwards(document, peers)),
            given=self._given,
        )
        if config.server and config.server.open and (config.server.secret_file or config.server.whitelist):
            raise self._wrong(
                "server.open", "it lets everybody in, a secret or a whitelist does not: leave one out"
            )
        if config.node.proxy is not None and (config.node.udp_ports or config.node.tcp_port):
            raise self._wrong(
                "node.proxy", "all traffic goes through it: leave out udp_ports and tcp_port, or the proxy"
            )
        return config

    # -- peers and forwards

    def _peer(self, name: str, table: Any) -> PeerSection:
        path = f"peers.{name}"
        try:
            check_name(name)
        except UsageError as failure:
            raise self._wrong(path, str(failure)) from None
        return PeerSection(**self._values(path, table, PEER.keys))

    def _refuse_twin_peers(self, peers: Mapping[str, PeerSection]) -> None:
        for (one, first), (other, second) in itertools.combinations(peers.items(), 2):
            if same_name(one, other):
                raise self._wrong(
                    f"peers.{other}", f"it differs from {one!r} in case only: choose another name"
                )
            if first.public_key == second.public_key:
                raise self._wrong(f"peers.{other}.id", f"peers.{one} has it too: give a peer one section")
            if first.address is not None and first.address == second.address:
                raise self._wrong(f"peers.{other}.address", f"peers.{one} has it too: choose another")

    def _forwards(
        self, kind: str, document: dict[str, Any], peers: Mapping[str, PeerSection], keys: Mapping[str, Key]
    ) -> list[ForwardSection]:
        found = []
        for path, table in self._tables(kind, document):
            forward = ForwardSection(**{"target": None} | self._values(path, table, keys))
            self._check_callable(path, forward.peer, peers)
            for listen in forward.listen.each():
                if (twin := self._listens.setdefault(str(listen), path)) != path:
                    raise self._wrong(f"{path}.listen", f"{twin} listens there too: choose another")
            if isinstance(forward.listen, UnixListen):
                forward = replace(forward, listen=replace(forward.listen, mode=forward.mode))
            elif forward.listen.transport is not Transport.TCP and is_path(str(forward.target)):
                raise self._wrong(f"{path}.target", ONLY_STREAMS)
            found.append(forward)
        return found

    def _remote_forwards(
        self, document: dict[str, Any], peers: Mapping[str, PeerSection]
    ) -> Iterator[RemoteForwardSection]:
        for path, table in self._tables("remote_forwards", document):
            forward = RemoteForwardSection(**self._values(path, table, REMOTE.keys))
            self._check_callable(path, forward.peer, peers)
            if forward.target.is_path and forward.listen.transport is not Transport.TCP:
                raise self._wrong(f"{path}.target", ONLY_STREAMS)
            yield forward

    def _tables(self, kind: str, document: dict[str, Any]) -> Iterator[tuple[str, Any]]:
        """The tables of a list, each with its path."""
        tables = document.get(kind, [])
        if not isinstance(tables, list):
            raise self._wrong(kind, f"must be a list of tables: [[{kind}]]")
        return ((f"{kind}[{number}]", table) for number, table in enumerate(tables, 1))

    def _check_callable(self, path: str, name: str, peers: Mapping[str, PeerSection]) -> None:
        if name not in peers:
            known = ", ".join(sorted(peers)) or "no peers"
            raise self._wrong(f"{path}.peer", f"there is no [peers.{name}]; the file defines {known}")
        if peers[name].nospam is None:
            raise self._wrong(
                f"{path}.peer", f"[peers.{name}] has only a public key; give its Tox ID, which has 76 digits"
            )

    # -- every section

    def _optional(self, section: Section, document: dict[str, Any], make: Callable[..., T]) -> T | None:
        if section.name not in document:
            return None
        return make(**self._values(section.name, document[section.name], section.keys))

    def _values(self, path: str, table: Any, keys: Mapping[str, Key]) -> dict[str, Any]:
        """The values of a section, by the names of its keys."""
        table = self._table(path, table)
        self._refuse_unknown(path, table, keys)
        values = {}
        for name, raw in table.items():
            values[name] = self._value(f"{path}.{name}", raw, keys[name])
        for name, each in keys.items():
            if each.default is None and name not in values:
                raise self._wrong(f"{path}.{name}", f"it is missing; expected {each.form}")
        return values

    def _value(self, path: str, raw: Any, row: Key) -> Any:
        try:
            value = row.read(raw)
        except (ValueError, UsageError, ConfigError) as failure:
            raise self._wrong(path, row.explain_refusal(raw, failure)) from None
        if isinstance(value, Path):
            value = self._path.parent / self._without_tilde(path, value)
        self._given[path] = str(value) if isinstance(value, Path) else raw
        return value

    def _without_tilde(self, path: str, value: Path) -> Path:
        try:
            return value.expanduser()
        except RuntimeError:
            raise self._wrong(
                path, f"the home directory of {value.parts[0]} is not known: write the whole path"
            ) from None

    def _table(self, path: str, value: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise self._wrong(path, f"must be a table: [{path}]")
        return value

    def _refuse_unknown(self, path: str, table: Mapping[str, Any], known: Any) -> None:
        for name in table:
            if name not in known:
                close = difflib.get_close_matches(name, known, 1)
                hint = f"did you mean {close[0]!r}?" if close else f"known are {', '.join(sorted(known))}"
                place = f"{path}.{name}" if path else name
                raise ConfigError(f"{self._path}: {place} is unknown: {hint}")

    def _wrong(self, path: str, reason: str) -> ConfigError:
        return ConfigError(f"{self._path}: {path}: {reason}")
