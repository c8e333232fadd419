"""`toxvpn up`: the VPN. From its flags to UpOptions (config/options.py), or a UsageError of one line."""

import os
import time
from collections.abc import Sequence
from dataclasses import replace
from ipaddress import IPv4Interface
from pathlib import Path
from typing import Any

import click

from ..config.file import INTERFACE_FORM, Config, read_address, read_interface
from ..config.options import INTERFACE, UpOptions
from ..errors import PeerRefusedError, UsageError
from ..members.known import ConfiguredPeer, check_name, parse_peer, same_name
from ..members.selector import is_key
from ..wire.invite import is_invite
from ..wire.ip import MAX_MTU, MIN_MTU
from .callee import known_peers
from .config_flag import CONFIG, find_configuration, node_options, tell_left_out
from .given_secret import find_secret
from .process_flags import PROCESS, Process, without_ports_beside_a_proxy
from .shared import NODE, SHARED, Settings, flag, takes

FLAGS = (
    flag("VPN", "--peer", "peers", metavar="PEER", multiple=True,
         help="A Tox ID, public key or invite; a peer for this run, beside the kept ones. Repeatable."),
    flag("VPN", "--name", metavar="NAME", help="What we call ourselves to the peers."),
    flag("VPN", "--address", metavar="IPV4[/BITS]",
         help="Our IPv4 address; with BITS, peers may choose theirs in it. [default: follows from our key]"),
    flag("VPN", "--mtu", type=click.IntRange(MIN_MTU, MAX_MTU), help="The device's MTU."),
    flag("VPN", "--interface", metavar="NAME", help=f"The device's name. [default: {INTERFACE}]"),
    flag("VPN", "--no-offload", "offload", is_flag=True, flag_value=False, default=None,
         help="Exchange every packet with the kernel by itself: slower, for kernels that mishandle batches."),
)  # fmt: skip


@click.command("up")
@takes((*FLAGS, CONFIG, *NODE, *PROCESS, *SHARED))
@click.pass_obj
def command(settings: Settings, /, config_file: Path | None, **typed: Any) -> int:
    """Be on a network with the peers, in the foreground, until a signal or `toxvpn down`.

    Two machines that give each other's Tox ID with --peer need no further step. What no flag says is in
    [vpn] and [peers] of the configuration, if there is one. A secret is what those of --peer are asked
    with; without --peer, who sends it is let in.
    """
    process = Process.taken_from(typed)
    process.begin(settings)
    config = find_configuration(settings, config_file)
    tell_left_out(config, "server", "forwards")
    return start(build(settings, process, config, **typed))


def build(
    settings: Settings,
    process: Process,
    config: Config | None,
    *,
    peers: Sequence[str],
    name: str | None,
    address: str | None,
    mtu: int | None,
    interface: str | None,
    offload: bool | None,
    secret: str | None,
    secret_file: Path | None,
    id_file: Path | None,
    udp_ports: str | None,
    tcp_port: str | None,
) -> UpOptions:
    """Raises UsageError, PeerRefusedError (a name that nobody has), ConfigError."""
    if name is not None:
        check_name(name)
    common = node_options(settings, process, config, id_file=id_file, udp_ports=udp_ports, tcp_port=tcp_port)
    given = find_secret(secret, secret_file, os.environ)
    options = UpOptions(
        **common,
        secret=None if peers else given,  # what is for those peers does not open the door here
        peers=parse_peers(peers, settings.places.data, config, time.time(), given),
        name=name,
        address=None if address is None else parse_address(address),
        mtu=mtu,
        interface=None if interface is None else parse_interface(interface),
        offload=offload,
    )
    return without_ports_beside_a_proxy(options)


def parse_peers(
    texts: Sequence[str], directory: Path, config: Config | None, now: float, secret: bytes | None = None
) -> tuple[ConfiguredPeer, ...]:
    """Those of this run, to be asked with `secret`."""
    peers = []
    for text in texts:
        if is_key(text.strip()) or is_invite(text) or not is_name(text):
            try:
                peers.append(replace(parse_peer(text, None, now), secret=secret))
            except UsageError as error:
                raise UsageError(f"--peer {error}") from None
        else:
            peers.append(ConfiguredPeer(known_key(text, directory, config), secret=secret))
    return tuple(peers)


def is_name(text: str) -> bool:
    try:
        check_name(text)
    except UsageError:
        return False
    return True


def known_key(name: str, directory: Path, config: Config | None) -> bytes:
    for peer in known_peers(directory, config):
        if same_name(peer.name, name):
            return peer.public_key
    raise PeerRefusedError(
        f"--peer {name!r}: no kept peer has that name; give its Tox ID, or see `toxvpn peer list`"
    )


def parse_address(text: str) -> IPv4Interface:
    try:
        return read_address(text)
    except ValueError as failure:
        raise UsageError(
            f"--address: {failure}; expected an IPv4 address such as 10.9.8.7 or 10.9.8.7/24"
        ) from None


def parse_interface(name: str) -> str:
    try:
        return read_interface(name)
    except ValueError as failure:
        raise UsageError(f"--interface: {failure}; expected {INTERFACE_FORM}") from None


def start(options: UpOptions) -> int:
    """The exit code."""
    from .. import daemon  # the compiled parts and asyncio: only when it is clear what to do

    code: int = daemon.run_up(options)
    return code
