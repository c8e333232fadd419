"""config.toml: text enters, a frozen Config leaves, or one line naming file, key and expected form.

    [node]                                 # how to be on the Tox network
    udp_ports = "20000:20100"
    [server]                               # serve forwards
    secret_file = "secret"
    allow = ["localhost:22"]
    [vpn]                                  # be on the network of the peers
    address = "10.9.8.7/24"
    [peers.box]                            # a name for a peer, and what it may
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

Relative paths are relative to the file. A section that is there switches its part on. Who reads it:
cli/ merges flags over it, daemon/ makes the parts.
"""

import difflib
import itertools
import os
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path
from typing import Any, TypeVar

from ..errors import ConfigError, UsageError
from ..members.known import check_name, same_name
from ..state.files import open_given
from ..tcpforward.rules import Rules, parse_rules
from ..tcpforward.spec import Listen, Target, parse_listen, parse_target
from ..tox.proxy import parse_proxy
from ..wire.addressing import is_host_address
from ..wire.ip import MAX_MTU, MIN_MTU
from ..wire.toxid import parse_public_key_or_id, parse_tox_id

T = TypeVar("T")

INTERFACE_BYTES = 15  # linux/if.h IFNAMSIZ, less the NUL
INTERFACE_FORM = f"1 to {INTERFACE_BYTES} bytes without spaces, '/', ':' or '%'"
ID_DIGITS = 76
EXPECTED = "expected "


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSection:
    nodes_file: Path | None = None
    udp_ports: tuple[int, int] | None = None
    tcp_port: int | None = None
    proxy: str | None = None
    udp_segmentation: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSection:
    """`allow` None: everything that this machine can reach."""

    secret_file: Path | None = None
    whitelist: frozenset[bytes] = frozenset()
    open: bool = False
    allow: Rules | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class VpnSection:
    name: str | None = None
    address: IPv4Interface | None = None
    mtu: int | None = None
    interface: str | None = None
    offload: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerSection:
    """`nospam` None: only the public key is known, so it cannot be asked. `allow` None: as [server] says.

    `address`: it may have this one on the VPN, although it does not follow from its key.
    """

    public_key: bytes
    nospam: bytes | None = None
    secret_file: Path | None = None
    allow: Rules | None = None
    vpn: bool = True
    address: IPv4Address | None = None


@dataclass(frozen=True, slots=True)
class ForwardSection:
    """`target` None is a SOCKS5 listener."""

    peer: str
    listen: Listen
    target: Target | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """`source` None: there is no file. `given` names every key that the file sets, e.g. `server.open`.

    `secret` is never the file's: it is what was typed for this run, and goes before that of [server].
    `owner` is whose file it is, where root reads another user's: it can only name secrets of that user's.
    """

    source: Path | None = None
    owner: int | None = None
    secret: bytes | None = field(default=None, repr=False)
    node: NodeSection = NodeSection()
    server: ServerSection | None = None
    vpn: VpnSection | None = None
    peers: Mapping[str, PeerSection] = field(default_factory=dict)
    forwards: tuple[ForwardSection, ...] = ()
    given: Mapping[str, Any] = field(default_factory=dict)


def load(path: Path) -> Config:
    """Raises ConfigError: the file cannot be read, or is not as it should be."""
    try:
        with open_given(path) as file:
            owner = os.fstat(file.fileno()).st_uid
            text = file.read().decode()
    except OSError as failure:
        raise ConfigError(f"{path}: the configuration cannot be read: {failure.strerror}") from failure
    except UnicodeDecodeError as failure:
        raise ConfigError(f"{path}: the configuration cannot be read: it is not UTF-8") from failure
    config = parse(text, path)
    return config if os.geteuid() != 0 or owner == 0 else replace(config, owner=owner)


def parse(text: str, path: Path) -> Config:
    """Raises ConfigError."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as failure:
        raise ConfigError(f"{path}: not TOML: {failure}") from None
    return _Reader(path).config(document)


class _Reader:
    """Knows every key, and says which file and key is meant when a value is not right."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._given: dict[str, Any] = {}
        self._listens: dict[Listen, str] = {}

    def config(self, document: dict[str, Any]) -> Config:
        known = {"node", "server", "vpn", "peers", "forwards", "socks"}
        self._refuse_unknown("", document, known)
        peers = {
            name: self._peer(name, self._table(f"peers.{name}", table))
            for name, table in self._table("peers", document.get("peers", {})).items()
        }
        self._refuse_twin_peers(peers)
        config = Config(
            source=self._path,
            node=NodeSection(**self._section("node", document.get("node", {}), self._node_keys())),
            server=self._optional("server", document, self._server_keys(), ServerSection),
            vpn=self._optional("vpn", document, self._vpn_keys(), VpnSection),
            peers=peers,
            forwards=(
                *self._listeners("forwards", document, peers, with_target=True),
                *self._listeners("socks", document, peers, with_target=False),
            ),
            given=self._given,
        )
        if config.server and config.server.open and (config.server.secret_file or config.server.whitelist):
            raise self._wrong(
                "server.open", "it lets everybody in, a secret or whitelist does not", "one of them"
            )
        if config.node.proxy is not None and (config.node.udp_ports or config.node.tcp_port):
            raise self._wrong(
                "node.proxy", "nothing is to go around it", "neither udp_ports nor tcp_port beside it"
            )
        return config

    # -- what there is

    def _node_keys(self) -> "dict[str, _Key]":
        return {
            "nodes_file": _Key(self._file, "a file name"),
            "udp_ports": _Key(_udp_ports, '"FIRST:LAST", two port numbers'),
            "tcp_port": _Key(_port, "a port number, or 0 for no relay"),
            "proxy": _Key(_proxy, '"socks5://HOST:PORT" or "http://HOST:PORT"'),
            "udp_segmentation": _Key(_switch, '"auto", "on" or "off"'),
        }

    def _server_keys(self) -> "dict[str, _Key]":
        return {
            "secret_file": _Key(self._file, "a file name"),
            "whitelist": _Key(_keys, "a list of Tox IDs or public keys"),
            "open": _Key(_flag, "true or false"),
            "allow": _Key(_rules, 'a list such as ["localhost:22", "10.0.0.0/8:*"]'),
        }

    def _vpn_keys(self) -> "dict[str, _Key]":
        return {
            "name": _Key(_name, "a name"),
            "address": _Key(_address, 'an IPv4 address such as "10.9.8.7/24"'),
            "mtu": _Key(_mtu, f"a number from {MIN_MTU} to {MAX_MTU}"),
            "interface": _Key(_interface, INTERFACE_FORM),
            "offload": _Key(_flag, "true or false"),
        }

    def _peer(self, name: str, table: dict[str, Any]) -> PeerSection:
        path = f"peers.{name}"
        try:
            check_name(name)
        except UsageError as failure:
            raise self._wrong(path, str(failure), "another name") from None
        keys = {
            "id": _Key(_identity, "a Tox ID (76 digits) or a public key (64)"),
            "secret_file": _Key(self._file, "a file name"),
            "allow": _Key(_rules, 'a list such as ["localhost:22", "10.0.0.0/8:*"], or [] for nothing'),
            "vpn": _Key(_flag, "true or false"),
            "address": _Key(_peer_address, 'a private IPv4 address such as "10.9.8.6"'),
        }
        values = self._section(path, table, keys)
        if "id" not in values:
            raise self._wrong(f"{path}.id", "it is missing", keys["id"].form)
        public_key, nospam = values.pop("id")
        # an `allow` binds forwards alone: on the network every port of this machine is open to a peer
        values.setdefault("vpn", "allow" not in values)
        return PeerSection(public_key=public_key, nospam=nospam, **values)

    def _refuse_twin_peers(self, peers: Mapping[str, PeerSection]) -> None:
        for (one, first), (other, second) in itertools.combinations(peers.items(), 2):
            if same_name(one, other):
                raise self._wrong(f"peers.{other}", f"it differs from {one!r} in case only", "another name")
            if first.public_key == second.public_key:
                raise self._wrong(f"peers.{other}.id", f"it is that of peers.{one}", "one section per peer")
            if first.address is not None and first.address == second.address:
                raise self._wrong(f"peers.{other}.address", f"peers.{one} has it", "another address")

    def _listeners(
        self, kind: str, document: dict[str, Any], peers: Mapping[str, PeerSection], *, with_target: bool
    ) -> list[ForwardSection]:
        tables = document.get(kind, [])
        if not isinstance(tables, list):
            raise self._wrong(kind, "it is no list", f"[[{kind}]] sections")
        keys = {"peer": _Key(_text, "a peer's name"), "listen": _Key(_listen, '"[bind:]port"')}
        if with_target:
            keys["target"] = _Key(_target, '"host:port"')
        found = []
        for number, table in enumerate(tables, 1):
            path = f"{kind}[{number}]"
            values = self._section(path, self._table(path, table), keys)
            for key in keys:
                if key not in values:
                    raise self._wrong(f"{path}.{key}", "it is missing", keys[key].form)
            if values["peer"] not in peers:
                known = ", ".join(sorted(peers)) or "there are none"
                raise self._wrong(f"{path}.peer", f"no [peers.{values['peer']}] is here", f"one of: {known}")
            if peers[values["peer"]].nospam is None:
                raise self._wrong(
                    f"{path}.peer", f"[peers.{values['peer']}] has no Tox ID to call", "76 digits"
                )
            if (twin := self._listens.setdefault(values["listen"], path)) != path:
                raise self._wrong(f"{path}.listen", f"{twin} listens there", "another port")
            found.append(ForwardSection(values["peer"], values["listen"], values.get("target")))
        return found

    # -- how it is read

    def _optional(
        self, name: str, document: dict[str, Any], keys: "dict[str, _Key]", make: Callable[..., T]
    ) -> T | None:
        return make(**self._section(name, document[name], keys)) if name in document else None

    def _section(self, path: str, table: Any, keys: "dict[str, _Key]") -> dict[str, Any]:
        table = self._table(path, table)
        self._refuse_unknown(path, table, keys.keys())
        values = {}
        for key, raw in table.items():
            try:
                values[key] = keys[key].read(raw)
            except (ValueError, UsageError, ConfigError) as failure:
                raise self._wrong(f"{path}.{key}", str(failure), keys[key].form) from None
            self._given[f"{path}.{key}"] = str(values[key]) if isinstance(values[key], Path) else raw
        return values

    def _table(self, path: str, value: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise self._wrong(path, "it is no section", f"[{path}]")
        return value

    def _refuse_unknown(self, path: str, table: Mapping[str, Any], known: Any) -> None:
        for key in table:
            if key not in known:
                close = difflib.get_close_matches(key, known, 1)
                hint = f"did you mean {close[0]!r}?" if close else f"known are {', '.join(sorted(known))}"
                raise ConfigError(f"{self._path}: {_joined(path, key)} is unknown: {hint}")

    def _wrong(self, path: str, reason: str, form: str) -> ConfigError:
        told = reason if EXPECTED in reason else f"{reason}; {EXPECTED}{form}"
        return ConfigError(f"{self._path}: {path}: {told}")

    def _file(self, value: Any) -> Path:
        return self._path.parent / Path(_text(value)).expanduser()


@dataclass(frozen=True, slots=True)
class _Key:
    read: Callable[[Any], Any]
    form: str


def _joined(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError(f"{value!r} is no text")
    return value


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"{value!r} is neither")
    return value


def _switch(value: Any) -> bool | None:
    """None is "auto"."""
    switches = {"auto": None, "on": True, "off": False}
    if not isinstance(value, str) or value not in switches:
        raise ValueError(f"{value!r} is none of them")
    return switches[value]


def _number(value: Any, least: int, most: int) -> int:
    if type(value) is not int or not least <= value <= most:
        raise ValueError(f"{value!r} is not from {least} to {most}")
    return value


def _port(value: Any) -> int:
    return _number(value, 0, 65535)


def _mtu(value: Any) -> int:
    return _number(value, MIN_MTU, MAX_MTU)


def _udp_ports(value: Any) -> tuple[int, int]:
    first, colon, last = _text(value).partition(":")
    texts = first, last if colon else first
    ports = [int(text) for text in texts if text.isascii() and text.isdigit() and len(text) < 6]
    if len(ports) != 2 or not 0 < ports[0] <= ports[1] < 65536:
        raise ValueError(f"{value!r} is no range of ports")
    return ports[0], ports[1]


def _name(value: Any) -> str:
    check_name(_text(value))
    return str(value)


def _proxy(value: Any) -> str:
    parse_proxy(_text(value), "it cannot be used")
    return str(value)


def _address(value: Any) -> IPv4Interface:
    return read_address(_text(value))


def _peer_address(value: Any) -> IPv4Address:
    address = read_address(_text(value))
    if address.ip.is_global or address.network.num_addresses > 1:
        raise ValueError(f"{value!r} is a public one, or a network")
    return address.ip


def _interface(value: Any) -> str:
    return read_interface(_text(value))


def read_address(text: str) -> IPv4Interface:
    """An IPv4 address of ours, with its prefix length. Raises ValueError."""
    try:
        address = IPv4Interface(text)
    except ValueError:
        raise ValueError(f"{text!r} is none") from None
    if not is_host_address(address.ip):
        raise ValueError(f"no host can have that address, {text}")
    return address


def read_interface(name: str) -> str:
    """Raises ValueError."""
    usable = 0 < len(name.encode()) <= INTERFACE_BYTES and name not in (".", "..")
    if not usable or any(letter in "/:%" or letter.isspace() or not letter.isprintable() for letter in name):
        raise ValueError(f"{name!r} cannot be an interface's name")
    return name


def _list(value: Any) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise ValueError(f"{value!r} is no list of texts")
    return value


def _keys(value: Any) -> frozenset[bytes]:
    return frozenset(parse_public_key_or_id(each) for each in _list(value))


def _rules(value: Any) -> Rules:
    return parse_rules("\n".join(_list(value)), "rule")


def _identity(value: Any) -> tuple[bytes, bytes | None]:
    """Public key, and nospam where it is a whole Tox ID."""
    text = _text(value).strip()
    if len(text.removeprefix("tox:")) == ID_DIGITS:
        tox_id = parse_tox_id(text)
        return tox_id.public_key, tox_id.nospam
    return parse_public_key_or_id(text), None


def _listen(value: Any) -> Listen:
    return parse_listen(str(value) if type(value) is int else _text(value))


def _target(value: Any) -> Target:
    return parse_target(_text(value))
