from dataclasses import dataclass
from ipaddress import IPv4Address

import pytest

from toxvpn.errors import PeerRefusedError, UsageError
from toxvpn.members.selector import find
from toxvpn.wire.addressing import overlay_ipv6
from toxvpn.wire.toxid import ToxId


@dataclass(frozen=True)
class Known:
    public_key: bytes
    name: str | None = None
    ipv4: IPv4Address | None = None


ALICE = Known(b"\xa1\xb2" + bytes(30), "Alice", IPv4Address("100.64.0.1"))
BOB = Known(b"\xa1\xb3" + bytes(30), "cafe")
CAROL = Known(b"\xca\xfe" + bytes(30))
ALL = [ALICE, BOB, CAROL]


def ipv4(known: Known) -> IPv4Address | None:
    return known.ipv4


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("alice", ALICE),
        (" ALICE ", ALICE),
        ("a1b2", ALICE),
        ("A1B300", BOB),
        ("cafe", BOB),  # a name goes before a key
        ("cafe0", CAROL),
        (ALICE.public_key.hex(), ALICE),
        (str(ToxId(CAROL.public_key, b"spam")), CAROL),
        ("tox:" + str(ToxId(CAROL.public_key, b"spam")).lower(), CAROL),
        ("100.64.0.1", ALICE),
        (str(overlay_ipv6(BOB.public_key)), BOB),
        (overlay_ipv6(BOB.public_key).exploded.upper(), BOB),
    ],
)
def test_what_a_person_types(text: str, meant: Known) -> None:
    assert find(text, ALL, ipv4=ipv4) is meant


@pytest.mark.parametrize("text", ["", "dave", "a1", "a1c", "a1b2" * 20, "100.64.0.2", "::1", "77" * 32, "%"])
def test_nobody(text: str) -> None:
    with pytest.raises(PeerRefusedError, match=r"no peer .* is known here; see `toxvpn peer list`"):
        find(text, ALL, ipv4=ipv4)


def test_one_of_several() -> None:
    two = [ALICE, Known(ALICE.public_key[:20] + b"\1" * 12)]
    with pytest.raises(UsageError, match=r"matches 2 peers .*A1B2.*; give more digits"):
        find("a1b200", two)
    assert find("alice", two) is ALICE


def test_more_digits_can_be_asked_for() -> None:
    with pytest.raises(PeerRefusedError):
        find("a1b2", ALL, fewest_digits=8)
    assert find("a1b20000", ALL, fewest_digits=8) is ALICE


def test_a_damaged_id_says_so() -> None:
    with pytest.raises(UsageError, match="checksum"):
        find(str(ToxId(CAROL.public_key, b"spam"))[:-1] + "0", ALL)
