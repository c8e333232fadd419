"""Finds the peer that a person means by name, key, first digits of a key, Tox ID or overlay address.

In: what was typed, and the peers there are. Out: one of them. Used by the control commands, and by the
command line when no daemon runs.
"""

from collections.abc import Callable, Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Protocol, TypeVar

from ..errors import PeerRefusedError, UsageError
from ..wire.addressing import overlay_ipv6
from ..wire.toxid import ADDRESS_DIGITS, PUBLIC_KEY_DIGITS, key_prefix, parse_public_key_or_id

FEWEST_DIGITS = 4
_HEX_DIGITS = frozenset("0123456789abcdefABCDEF")


class Candidate(Protocol):
    @property
    def public_key(self) -> bytes: ...

    @property
    def name(self) -> str | None: ...


C = TypeVar("C", bound=Candidate)


def no_ipv4(_: Candidate) -> IPv4Address | None:
    return None


def find(
    text: str,
    candidates: Iterable[C],
    *,
    ipv4: Callable[[C], IPv4Address | None] = no_ipv4,
    fewest_digits: int = FEWEST_DIGITS,
    where: str = "see `toxvpn peer list`",
) -> C:
    """The candidate that `text` means; `fewest_digits` of a key are enough if no other key begins so.

    Raises PeerRefusedError when there is none, UsageError when several match or an ID is damaged.
    """
    text = text.strip()
    known = list(candidates)
    for candidate in known:
        if candidate.name is not None and candidate.name.casefold() == text.casefold():
            return candidate
    if (address := as_address(text)) is not None:
        fitting = [each for each in known if address in (ipv4(each), overlay_ipv6(each.public_key))]
    elif is_key(text):
        key = parse_public_key_or_id(text)
        fitting = [each for each in known if each.public_key == key]
    elif len(text) >= fewest_digits and _HEX_DIGITS.issuperset(text):
        fitting = [each for each in known if each.public_key.hex().startswith(text.lower())]
    else:
        fitting = []
    return the_only(text, fitting, where)


def the_only(text: str, fitting: list[C], where: str) -> C:
    if not fitting:
        raise PeerRefusedError(f"no peer {text!r} is known here; {where}")
    if len(fitting) > 1:
        keys = ", ".join(key_prefix(each.public_key) for each in fitting[:4])
        raise UsageError(f"{text!r} matches {len(fitting)} peers ({keys}); give more digits")
    return fitting[0]


def is_key(text: str) -> bool:
    """Whether `text` has the form of a whole public key or Tox ID."""
    return text[:4].lower() == "tox:" or (
        len(text) in (PUBLIC_KEY_DIGITS, ADDRESS_DIGITS) and _HEX_DIGITS.issuperset(text)
    )


def as_address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(text)
    except ValueError:
        return None
