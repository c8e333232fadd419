"""`toxvpn up`: the VPN. From its flags to UpOptions (config.py), or a UsageError of one line."""

import os
import time
from collections.abc import Sequence
from ipaddress import IPv4Interface
from pathlib import Path
from typing import Any

import click

from ..config import INTERFACE, UpOptions
from ..errors import PeerRefusedError, UsageError
from ..tox import peers as configured
from ..tox.peers import ConfiguredPeer, check_name, parse_peer, same_name
from ..tox.selector import is_key
from ..wire.addressing import is_host_address
from ..wire.invite import is_invite
from ..wire.status import MIN_MTU
from .options import parse_tcp_port, parse_udp_ports
from .process import PROCESS, Process, without_ports_beside_a_proxy
from .secret import find_secret
from .shared import NODE, SHARED, Settings, flag, takes

MAX_MTU = 1368
"""The largest inner packet that one Tox packet carries (docs/wire-format.md §2)."""
INTERFACE_BYTES = 15  # linux/if.h IFNAMSIZ, less the NUL

FLAGS = (
    flag("VPN", "--peer", "peers", metavar="PEER", multiple=True,
         help="A Tox ID, public key or invite; a peer for this run, beside the kept ones. Repeatable."),
    flag("VPN", "--name", metavar="NAME", help="What we call ourselves to the peers."),
    flag("VPN", "--address", metavar="IPV4[/BITS]", help="Our IPv4 address. [default: follows from our key]"),
    flag("VPN", "--mtu", type=click.IntRange(MIN_MTU, MAX_MTU), help="The device's MTU."),
    flag("VPN", "--interface", metavar="NAME", default=INTERFACE, show_default=True,
         help="The device's name."),
)  # fmt: skip


@click.command("up")
@takes((*FLAGS, *NODE, *PROCESS, *SHARED))
@click.pass_obj
def command(settings: Settings, /, **typed: Any) -> int:
    """Be on a network with the peers, in the foreground, until a signal or `toxvpn down`.

    Two machines that give each other's Tox ID with --peer need no further step.
    """
    process = Process.taken_from(typed)
    process.begin(settings)
    return start(build(settings, process, **typed))


def build(
    settings: Settings,
    process: Process,
    *,
    peers: Sequence[str],
    name: str | None,
    address: str | None,
    mtu: int | None,
    interface: str,
    secret: str | None,
    secret_file: Path | None,
    id_file: Path | None,
    udp_ports: str | None,
    tcp_port: str | None,
) -> UpOptions:
    """Raises UsageError, PeerRefusedError (a name that nobody has), ConfigError."""
    if name is not None:
        check_name(name)
    options = UpOptions(
        directory=settings.directory,
        nodes_file=settings.nodes_file,
        id_file=id_file,
        secret=find_secret(secret, secret_file, os.environ),
        udp_ports=None if udp_ports is None else parse_udp_ports(udp_ports),
        tcp_port=None if tcp_port is None else parse_tcp_port(tcp_port),
        toxcore_log=settings.debug > 1,
        peers=parse_peers(peers, settings.places.data, time.time()),
        name=name,
        address=None if address is None else parse_address(address),
        mtu=mtu,
        interface=parse_interface(interface),
        **process.options(),
    )
    return without_ports_beside_a_proxy(options)


def parse_peers(texts: Sequence[str], directory: Path, now: float) -> tuple[ConfiguredPeer, ...]:
    """Those of this run; a name of a kept peer is checked and adds nothing."""
    peers = []
    for text in texts:
        if is_key(text.strip()) or is_invite(text) or not is_name(text):
            try:
                peers.append(parse_peer(text, None, now))
            except UsageError as error:
                raise UsageError(f"--peer {error}") from None
        else:
            check_kept(text, directory)
    return tuple(peers)


def is_name(text: str) -> bool:
    try:
        check_name(text)
    except UsageError:
        return False
    return True


def check_kept(name: str, directory: Path) -> None:
    if not any(same_name(peer.name, name) for peer in configured.load(directory).values()):
        raise PeerRefusedError(
            f"--peer {name!r}: no kept peer has that name; give its Tox ID, or see `toxvpn peer list`"
        )


def parse_address(text: str) -> IPv4Interface:
    try:
        address = IPv4Interface(text)
    except ValueError:
        raise UsageError(
            f"--address {text!r}: expected an IPv4 address such as 10.9.8.7 or 10.9.8.7/24"
        ) from None
    if not is_host_address(address.ip):
        raise UsageError(f"--address {text!r}: no host can have that address")
    return address


def parse_interface(name: str) -> str:
    usable = 0 < len(name.encode()) <= INTERFACE_BYTES and name not in (".", "..")
    if not usable or any(letter in "/:%" or letter.isspace() or not letter.isprintable() for letter in name):
        raise UsageError(
            f"--interface {name!r}: expected 1 to {INTERFACE_BYTES} bytes without spaces, '/', ':' or '%'"
        )
    return name


def start(options: UpOptions) -> int:
    """The exit code."""
    from .. import daemon  # the compiled parts and asyncio: only when it is clear what to do

    code: int = daemon.run_up(options)
    return code
