"""Files, which may be damaged, or another user's: what is no such file is one known error."""

import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from toxvpn.config import file as config
from toxvpn.errors import ConfigError
from toxvpn.members import blocked, friends, invites, peers
from toxvpn.state import identity
from toxvpn.state.files import DAMAGE
from toxvpn.state.records import LeftOut
from toxvpn.tox import bootstrap
from toxvpn.tox.reach import met
from toxvpn.tun.host import changes

from ..target import target

T = TypeVar("T")

HERE = Path("/nowhere/config.toml")


def one_line(error: Exception) -> None:
    assert str(error)
    assert "\n" not in str(error), str(error)


@target
def config_file(data: bytes) -> None:
    """config.toml: a Config, or one line that says what is wrong."""
    with contextlib.suppress(UnicodeDecodeError):
        text = data.decode()
        try:
            config.parse(text, HERE)
        except ConfigError as error:
            one_line(error)


@target
def nodes_file(data: bytes) -> None:
    """A file of bootstrap nodes."""
    try:
        for node in bootstrap.parse_nodes(data, "nodes.json"):
            assert node.hosts
            assert len(node.public_key) == 32
            assert all(0 < port < 65536 for port in (node.port, *node.tcp_ports))
    except ConfigError as error:
        one_line(error)


@target
def savedata(data: bytes) -> None:
    """The header and the sections of a Tox identity."""
    try:
        identity.check(HERE, data)
    except ConfigError as error:
        one_line(error)
    with contextlib.suppress(ConfigError):
        identity.check(HERE, identity.MAGIC + data)


def kept(data: bytes, decode: Callable[[bytes, LeftOut], T], encode: Callable[[T], bytes]) -> None:
    """What is read of a file can be written, and is the same when it is read again."""
    left_out: LeftOut = []
    try:
        found = decode(data, left_out)
    except DAMAGE:
        return
    written = encode(found)
    assert encode(decode(written, left_out)) == written


@target
def peers_file(data: bytes) -> None:
    """peers.json."""
    kept(data, peers.decode, peers.encode)


@target
def invites_file(data: bytes) -> None:
    """invites.json."""
    kept(data, invites.decode, invites.encode)


@target
def friends_file(data: bytes) -> None:
    """friends.json."""
    kept(data, friends.decode, friends.encode)


@target
def blocked_file(data: bytes) -> None:
    """blocked.json."""
    kept(data, blocked.decode, blocked.encode)


@target
def met_file(data: bytes) -> None:
    """met.json, where peers were."""
    kept(data, met.decode, met.encode)


@target
def journal_file(data: bytes) -> None:
    """A change to the network that an earlier run has noted; what is none cannot be undone."""
    try:
        record = json.loads(data)
    except (ValueError, RecursionError):
        return
    try:
        change = changes.from_json(record)
    except (AttributeError, KeyError, TypeError, ValueError):
        return
    assert changes.from_json(changes.to_json(change)) == change
