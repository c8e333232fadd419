"""Whom a client calls: -i, or the machine that `toxvpn ssh` is to log in to.

In: what was typed: a Tox ID, an invite, or a peer of config.toml or kept here (by name, key or overlay
address). Out: its Tox ID, what to ask it with, and whether it knows us by the identity that is kept.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import PeerRefusedError, UsageError
from ..members import peers
from ..members.peers import ConfiguredPeer, check_name, updated
from ..members.selector import as_address, find, is_key
from ..wire.invite import Invite, decode, is_invite
from ..wire.toxid import PUBLIC_KEY_DIGITS, ToxId, parse_tox_id

if TYPE_CHECKING:
    from ..config.model import Config


@dataclass(frozen=True, slots=True)
class Callee:
    """`kept`: it lets this machine in, not just anybody with a secret: the kept identity has to call."""

    tox_id: ToxId
    invite: Invite | None = None
    secret: bytes | None = field(default=None, repr=False)
    kept: bool = False


def find_callee(
    text: str, directory: Callable[[], Path], now: float, config: "Config | None" = None
) -> Callee:
    """`directory` is where peers are kept, asked for only when it matters.

    Raises UsageError, PeerRefusedError (nobody of that name), ConfigError (peers.json, its secret file).
    """
    if is_invite(text):
        invite = decode(text)
        invite.check_fresh(now)
        return Callee(invite.tox_id, invite, kept=True)
    if not is_selector(text):
        return Callee(parse_tox_id(text))
    try:
        peer = find(text, known_peers(directory(), config))
    except PeerRefusedError:
        if len(text) == PUBLIC_KEY_DIGITS:
            parse_tox_id(text)  # says what a public key lacks
        raise PeerRefusedError(
            f"{text!r} is no Tox ID, and no peer that is kept here: see `toxvpn peer list`"
        ) from None
    if peer.tox_id is None:
        raise UsageError(
            f"of peer {peer.short} only the public key is known: give its Tox ID to `toxvpn peer add`"
        )
    secret = secret_of(peer, config)
    return Callee(peer.tox_id, peer.invite, secret, kept=secret is None)


def known_peers(directory: Path, config: "Config | None") -> list[ConfiguredPeer]:
    """Those that are kept, and those of config.toml, which goes before."""
    known = peers.load(directory)
    for name, section in config.peers.items() if config is not None else ():
        peer = ConfiguredPeer(section.public_key, section.nospam, name)
        known[peer.public_key] = updated(known.get(peer.public_key), peer)
    return list(known.values())


def secret_of(peer: ConfiguredPeer, config: "Config | None") -> bytes | None:
    """What config.toml has for asking it."""
    from ..state.secretfile import read_secret_file

    if config is None:
        return None
    for section in config.peers.values():
        if section.public_key == peer.public_key and section.secret_file is not None:
            return read_secret_file(section.secret_file, config.owner)
    return None


def is_selector(text: str) -> bool:
    """Whether it can mean a kept peer, and no Tox ID."""
    if as_address(text) is not None or (len(text) == PUBLIC_KEY_DIGITS and is_key(text)):
        return True
    try:
        check_name(text)
    except UsageError:
        return False
    return True
