"""A redacted status document or text identifies nobody, and can still be understood."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toxvpn.cli import redact
from toxvpn.control import status
from toxvpn.testing.fake_status import ALICE, BOB, TOX_ID, busy

KEY = ALICE.hex().upper()


def test_a_status_document() -> None:
    source = busy()
    left: dict[str, Any] = redact.document(status.document(source))
    redacted = json.dumps(left)
    assert left["tox_id"] == TOX_ID[:8] + "..."
    assert left["self"]["ipv4"] == "100.x.x.x" and left["self"]["ipv6"] == "fd74:x"
    alice = left["peers"][0]
    assert (alice["public_key"], alice["name"], alice["path"]) == (KEY[:8] + "...", "(a name)", "udp")
    assert alice["drops"] == {"queue full": 3, "wrong source": 40}
    assert left["peers"][2]["name"] is None
    assert left["self"]["routes"] == ["192.x.x.x/24", "fd00:x/64"]
    assert left["self"]["exit"] == {
        "peer": BOB.hex().upper()[:8] + "...",
        "blocked": False,
        "problem": None,
    }
    assert (left["self"]["port_mapping"]["router"], left["self"]["port_mapping"]["endpoint"]) == (
        "192.x.x.x",
        "203.x.x.x:40000",
    )
    assert left["self"]["moved"] == ["x.x.x.x is x.x.x.x for (a name), for that uses x.x.x.x/10"]
    assert alice["allow"] == ["tcp/localhost:22", "icmp"]
    assert left["peers"][1]["routes"][2] == {
        "network": "fd00:x/64",
        "used": False,
        "problem": "eth0 has that network",
    }
    for secret in (
        TOX_ID,
        TOX_ID[-12:],
        KEY,
        BOB.hex().upper(),
        "alice",
        "bob",
        "100.64.7",
        "6f78",
        "192.168",
        "fd00:1",
    ):
        assert secret not in redacted


@pytest.mark.parametrize(
    ("forward", "left"),
    [
        ("localhost:80", "localhost:80"),
        ("[::1]:80", "[::1]:80"),
        ("127.0.0.1:1, [::1]:1", "127.0.0.1:1, [::1]:1"),
        ("db.corp.example:5432", "(a host):5432"),
        ("192.168.7.7:22", "(a host):22"),
        ("[fd00::7]:22", "(a host):22"),
        ("socks5", "socks5"),
    ],
)
def test_targets_keep_their_port(forward: str, left: str) -> None:
    assert redact.document({"target": forward}) == {"target": left}


def test_an_unknown_key_of_a_later_version_is_still_searched_for_keys() -> None:
    assert redact.document({"new": [{"thing": f"to {KEY}"}]}) == {"new": [{"thing": f"to {KEY[:8]}..."}]}


def test_the_home_directory_has_no_name() -> None:
    assert redact.text("/home/jane/.local", "/home/jane") == "~/.local"
    assert redact.text("/var/lib", "/") == "/var/lib"


@given(st.binary(min_size=8, max_size=40), st.text("gG /:.\n\"'", min_size=0, max_size=5), st.booleans())
def test_no_text_keeps_a_key(key: bytes, around: str, upper: bool) -> None:
    digits = key.hex().upper() if upper else key.hex()
    left = redact.text(f" {around} {digits} {around}")
    assert digits not in left and digits[:8] in left


def test_lines_for_people_name_nobody() -> None:
    peers = [{"name": "box", "problem": "fd00::1 and 10.0.0.1 are box's, 12:30 on eth0"}, {"name": None}, 7]
    [box, *_] = redact.document({"peers": peers})["peers"]
    assert box["problem"] == "x:x and x.x.x.x are (a name)'s, 12:30 on eth0"
    rules = redact.document({"allow": ["*:22", "tcp/db.lan:5432", "10.0.0.0/8:443", "icmp"]})["allow"]
    assert rules == ["*:22", "tcp/(a host):5432", "(a host):443", "icmp"]


@given(
    st.recursive(
        st.none() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_any_document_is_taken(value: object) -> None:
    redact.document(value)
