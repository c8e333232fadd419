"""The keys of [peers.NAME], and of [[forwards]], [[socks]] and [[remote_forwards]], each through a peer."""

from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ..tcpforward.remote.spec import RemoteListen
from ..tcpforward.spec import PRIVATE, AnyListen, Target
from ..wire.routegrant import RouteGrant
from ..wire.toxid import ADDRESS_DIGITS, parse_public_key_or_id, parse_tox_id
from . import values
from .keys import NONE, Section, Words, key, keys_of, section

if TYPE_CHECKING:
    from ..tcpforward.remote.rules import ListenRules
    from ..tcpforward.rules import Rules


class PeerId(NamedTuple):
    """`nospam` None: only the public key is known, so the peer cannot be asked."""

    public_key: bytes
    nospam: bytes | None


def read_peer_id(value: Any) -> PeerId:
    text = values.read_text(value).strip()
    if len(text.removeprefix("tox:")) == ADDRESS_DIGITS:
        tox_id = parse_tox_id(text)
        return PeerId(tox_id.public_key, tox_id.nospam)
    return PeerId(parse_public_key_or_id(text), None)


def read_peer_address(value: Any) -> IPv4Address:
    address = values.read_address(value)
    if address.ip.is_global or address.network.num_addresses > 1:
        raise ValueError
    return address.ip


@section
class PeerSection:
    """`allow` None: by forwards as in [server], over the VPN all of this machine. `allow_listen` None: as in
    [server].

    `address`: one that it may have although its key does not give it. `routes` None: as `toxvpn peer route`
    says.
    """

    id: PeerId = key(
        read_peer_id,
        "its Tox ID; a public key will do for a peer that only calls us",
        form="a Tox ID (76 digits) or a public key (64)",
        example='"9BEBD4BC6B35218836CB3E1A00E41D4C1F0BD240EEAEA62385172FD5A087CD6F7D9330701F9C"',
    )
    secret_file: Path | None = key(
        values.read_file,
        "the secret that it lets us in for",
        form=values.FILE_FORM,
        default=None,
        shown=NONE,
        example='"box.secret"',
    )
    allow: "Rules | None" = key(
        values.read_rules,
        "what it may reach here, by forwards and over the VPN; [] is nothing",
        form='a list such as ["localhost:22", "udp/*:53", "icmp"], or [] for nothing',
        default=None,
        shown=Words("by forwards as server.allow, over the VPN all of this machine"),
        example='["localhost:22", "tcp/10.0.0.5:443", "udp/*:53", "icmp"]',
    )
    allow_listen: "ListenRules | None" = key(
        values.read_listen_rules,
        "where this machine may listen for it (-R); a port alone is on loopback; [] is nowhere",
        form=values.LISTEN_RULES_FORM,
        default=None,
        shown=Words("as server.allow_listen"),
        example='["8080", "127.0.0.1:*"]',
    )
    vpn: bool = key(
        values.read_bool,
        "whether it is on the network",
        form=values.BOOL_FORM,
        default=True,
        example="true",
    )
    address: IPv4Address | None = key(
        read_peer_address,
        "it may have this IPv4 address on the network",
        form="a private IPv4 address such as 10.9.8.6",
        default=None,
        shown=Words("follows from its key"),
        example='"10.9.8.6"',
    )
    routes: RouteGrant | None = key(
        values.read_route_grant,
        'the networks behind it that are used, if it advertises them; "all": whatever private ones',
        form=f'"all", or {values.NETWORKS_FORM}',
        default=None,
        shown=NONE,
        example='["192.168.20.0/24"]',
    )
    may_exit: bool = key(
        values.read_bool,
        "it may reach the Internet through this machine, as its exit",
        form=values.BOOL_FORM,
        default=False,
        example="false",
    )
    allow_speed: bool | None = key(
        values.read_bool,
        "whether it may test the speed of the path (toxvpn speed)",
        form=values.BOOL_FORM,
        default=None,
        shown=Words("as server.allow_speed, else yes"),
        example="true",
    )

    @property
    def public_key(self) -> bytes:
        return self.id.public_key

    @property
    def nospam(self) -> bytes | None:
        return self.id.nospam


@section
class ForwardSection:
    """`target` None is a SOCKS5 listener."""

    peer: str = key(values.read_text, "the peer that carries it", form="a peer's name", example='"box"')
    listen: AnyListen = key(
        values.read_forward_listen,
        "[bind:]port here, of TCP; udp/… or both/…; or a Unix socket's path; loopback unless told otherwise",
        form='"[bind:]port", perhaps after udp/ or both/, or "/path"',
        example='"2222"',
    )
    target: Target | None = key(
        values.read_target,
        "host:port, or the path of a Unix socket, as the peer sees it",
        form='"host:port" or "/path"',
        example='"localhost:22"',
    )
    mode: int = key(
        values.read_socket_mode,
        "who may use the forward, where listen is a Unix socket: the mode of its file",
        form='the mode of a file, as "0660"',
        default=PRIVATE,
        shown="0600",
        example='"0600"',
    )


@section
class RemoteForwardSection:
    """Port 0 of `listen`: the peer chooses."""

    peer: str = key(values.read_text, "the peer that listens", form="a peer's name", example='"box"')
    listen: RemoteListen = key(
        values.read_remote_listen,
        "[bind:]port there, or a Unix socket's path; loopback unless told otherwise",
        form='"[bind:]port"',
        example='"8080"',
    )
    target: Target = key(
        values.read_target, "host:port, as this machine sees it", form='"host:port"', example='"localhost:80"'
    )


_FORWARD_KEYS = keys_of(ForwardSection)
_SOCKS_LISTEN = replace(
    _FORWARD_KEYS["listen"],
    read=values.read_listen,
    explain="[bind:]port here, or a Unix socket's path; loopback unless told otherwise",
    form='"[bind:]port" or "/path"',
)

PEER = Section("peers.NAME", "[peers.NAME]", "a machine, under its name in commands", keys_of(PeerSection))
FORWARD = Section("forwards[N]", "[[forwards]]", "forward a port through a peer, as -L", _FORWARD_KEYS)
SOCKS = Section(
    "socks[N]",
    "[[socks]]",
    "a SOCKS5 proxy through a peer, as -D",
    {"peer": _FORWARD_KEYS["peer"], "listen": _SOCKS_LISTEN},
)
REMOTE = Section(
    "remote_forwards[N]",
    "[[remote_forwards]]",
    "have a peer listen for this machine, as -R",
    keys_of(RemoteForwardSection),
)
