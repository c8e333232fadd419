"""What a node says of itself as an exit, in its status message: to whom, by which IP versions, with DNS?

    "exit":{"ip":[4,6],"dns":[4],"to":["q83vEjRW",…]}

All friends get the same message. So `to` has a tag for each peer that may use the exit, which tells nothing
to those who do not know the peer's key; a peer finds out by its own tag whether it may. Without `to` there
are too many for the message, and a peer learns by trying.
"""

import re
from base64 import urlsafe_b64encode
from collections.abc import Collection
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

VERSIONS = frozenset({4, 6})
MOST_TAGS = 16
TAG_BYTES = 6
_TAG = re.compile(r"[A-Za-z0-9_-]{8}")


@dataclass(frozen=True, slots=True)
class ExitOffer:
    """`versions`: the IP versions that it has a way out for; `dns`: those by which it answers DNS."""

    versions: frozenset[int] = frozenset()
    dns: frozenset[int] = frozenset()
    tags: frozenset[str] | None = None

    def is_for(self, exit_key: bytes, peer_key: bytes) -> bool:
        """Whether the peer may use the exit, as far as the exit says."""
        return self.tags is None or tag(exit_key, peer_key) in self.tags


def offer(
    exit_key: bytes, peer_keys: Collection[bytes], versions: frozenset[int], dns: frozenset[int]
) -> ExitOffer | None:
    """None: nobody may use it, or there is no way out."""
    if not peer_keys or not versions:
        return None
    tags = frozenset(tag(exit_key, key) for key in peer_keys)
    return ExitOffer(versions, dns & versions, tags if len(tags) <= MOST_TAGS else None)


def tag(exit_key: bytes, peer_key: bytes) -> str:
    """8 characters; both keys have 32 bytes."""
    return urlsafe_b64encode(sha256(b"toxvpn exit" + exit_key + peer_key).digest()[:TAG_BYTES]).decode()


def encode(each: ExitOffer) -> dict[str, Any]:
    fields: dict[str, Any] = {"ip": sorted(each.versions)}
    if each.dns:
        fields["dns"] = sorted(each.dns)
    if each.tags is not None:
        fields["to"] = sorted(each.tags)
    return fields


def decode_untrusted(value: Any) -> ExitOffer | None:
    """Raises ValueError, with the reason as in "its exit ..."."""
    if value is None:
        return None
    if not isinstance(value, dict):
        raise ValueError("cannot be read: it takes an object")
    tags = value.get("to")
    if tags is not None and not (
        isinstance(tags, list) and all(isinstance(each, str) and _TAG.fullmatch(each) for each in tags)
    ):
        raise ValueError("names peers in a way that cannot be read: `to` takes a list of tags")
    return ExitOffer(
        _versions(value.get("ip", [])),
        _versions(value.get("dns", [])),
        None if tags is None else frozenset(tags),
    )


def _versions(value: Any) -> frozenset[int]:
    """Others than 4 and 6 are left out."""
    if not isinstance(value, list) or not all(type(each) is int for each in value):
        raise ValueError("cannot be read: `ip` and `dns` take lists of IP versions")
    return VERSIONS & set(value)
