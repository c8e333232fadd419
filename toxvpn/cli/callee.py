"""The callee: the machine that a client calls, with -i or `toxvpn ssh`.

In: a Tox ID, an invite, or a peer of config.toml or kept here (by name, key or overlay address), as typed.
Out: its Tox ID, the invite or secret for the request, and whether it knows us by our kept identity.
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
    """`kept`: it lets in this machine by its kept identity, so that a passing identity would be refused."""

    tox_id: ToxId
    invite: Invite | None = None
    secret: bytes | None = field(default=None, repr=False)
    kept: bool = False
    name: str | None = None


def find_callee(
    text: str, directory: Callable[[], Path], now: float, config: "Config | None" = None
) -> Callee:
    """`directory` is where peers are kept, asked for only when it matters.

    Raises UsageError, PeerRefusedError (no such peer), ConfigError (peers.json, its secret file).
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
            parse_tox_id(text)  # raises an error that says what to give instead of a public key
        raise PeerRefusedError(
            f"{text!r} is not a Tox ID, nor a peer that is kept here; see `toxvpn peer list`"
        ) from None
    if peer.tox_id is None:
        raise UsageError(
            f"only the public key is known of peer {peer.short}; give its Tox ID to `toxvpn peer add`"
        )
    secret = secret_of(peer, config)
    return Callee(peer.tox_id, peer.invite, secret, kept=secret is None, name=peer.name)


def known_peers(directory: Path, config: "Config | None") -> list[ConfiguredPeer]:
    """The kept peers and those of config.toml, which overrides them."""
    known = peers.load(directory)
    for name, section in config.peers.items() if config is not None else ():
        peer = ConfiguredPeer(section.public_key, section.nospam, name)
        known[peer.public_key] = updated(known.get(peer.public_key), peer)
    return list(known.values())


def secret_of(peer: ConfiguredPeer, config: "Config | None") -> bytes | None:
    """The secret that config.toml has for requests to the peer."""
    from ..state.secretfile import read_secret_file

    if config is None:
        return None
    for section in config.peers.values():
        if section.public_key == peer.public_key and section.secret_file is not None:
            return read_secret_file(section.secret_file, config.owner)
    return None


def is_selector(text: str) -> bool:
    """Whether it can mean a kept peer, and not a Tox ID."""
    if as_address(text) is not None or (len(text) == PUBLIC_KEY_DIGITS and is_key(text)):
        return True
    try:
        check_name(text)
    except UsageError:
        return False
    return True
