import json
import stat
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toxvpn.errors import UsageError
from toxvpn.members.peers import ConfiguredPeer, check_name, decode, encode, load, merged, parse_peer, save
from toxvpn.wire import invite as wire
from toxvpn.wire.invite import Invite
from toxvpn.wire.routegrant import RouteGrant
from toxvpn.wire.secret import friend_request_message
from toxvpn.wire.toxid import ToxId

NOW = 1_800_000_000.0
ALICE, BOB = (ToxId(bytes([number]) * 31 + b"\1", b"spam") for number in (0xA1, 0xB0))
INVITE = Invite(ALICE, b"fifteen secrets", int(NOW) + 60)
TOKEN = wire.encode(INVITE)


# -- what is typed --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "peer"),
    [
        (str(ALICE), ConfiguredPeer(ALICE.public_key, b"spam")),
        (f" tox:{str(ALICE).lower()}\n", ConfiguredPeer(ALICE.public_key, b"spam")),
        (ALICE.public_key.hex(), ConfiguredPeer(ALICE.public_key)),
        (TOKEN, ConfiguredPeer(ALICE.public_key, b"spam", None, INVITE)),
        (TOKEN.upper(), ConfiguredPeer(ALICE.public_key, b"spam", None, INVITE)),
    ],
)
def test_a_peer_is_an_id_a_key_or_an_invite(text: str, peer: ConfiguredPeer) -> None:
    assert parse_peer(text, None, NOW) == peer
    named = parse_peer(text, "alice", NOW)
    assert (named.name, named.public_key, named.short) == ("alice", ALICE.public_key, "alice")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "missing"),
        ("alice", "is not a Tox ID"),
        (str(ALICE)[:-2] + "00", "checksum"),
        (str(ALICE)[:70], "70 digits"),
        (TOKEN[:-1], "95 characters"),
    ],
)
def test_a_mistake_is_named(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_peer(text, None, NOW)


def test_an_expired_invite_is_no_peer() -> None:
    with pytest.raises(UsageError, match="expired"):
        parse_peer(TOKEN, None, NOW + 60)


@pytest.mark.parametrize("name", ["a", "Büro-2", "web.1", "x" * 63, "1st", "deadbeef"])
def test_names(name: str) -> None:
    check_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "x" * 64,
        "-a",
        ".",
        "two words",
        "a\n",
        "a/b",
        "a:b",
        "10.0.0.1",
        "a1" * 16,
        "a1" * 32,
        "toxvpn-x",
        "\u202ea",
    ],
)
def test_names_that_would_be_mistaken(name: str) -> None:
    with pytest.raises(UsageError, match="not usable") as caught:
        check_name(name)
    assert "\n" not in str(caught.value)


# -- what it is asked with ------------------------------------------------------------------------


def test_the_request() -> None:
    plain, invited = ConfiguredPeer(ALICE.public_key, b"spam"), parse_peer(TOKEN, None, NOW)
    with_secret = replace(plain, secret=b"s3cret")
    assert plain.request_message(NOW) == b"auto-toxvpn"
    assert with_secret.request_message(NOW) == friend_request_message(b"s3cret")
    assert replace(invited, secret=b"s3cret").request_message(NOW) == wire.request_message(INVITE.secret)
    assert invited.request_message(NOW + 60) == b"auto-toxvpn"  # expired


def test_an_invite_is_not_shown() -> None:
    assert "fifteen" not in repr(parse_peer(TOKEN, None, NOW))


# -- together -------------------------------------------------------------------------------------


def test_what_is_not_said_stays() -> None:
    peers = merged({}, ConfiguredPeer(ALICE.public_key, b"spam", "alice", INVITE))
    key_only = merged(peers, ConfiguredPeer(ALICE.public_key))
    assert key_only == peers
    renamed = merged(peers, ConfiguredPeer(ALICE.public_key, b"ham!", "bob"))
    assert renamed[ALICE.public_key] == ConfiguredPeer(ALICE.public_key, b"ham!", "bob", INVITE)
    assert peers[ALICE.public_key].name == "alice"


@pytest.mark.parametrize("routes", ["all", (), (ip_network("10.0.0.0/8"), ip_network("fd00:10::/64"))])
def test_routes_stay_until_others_are_said(routes: RouteGrant, tmp_path: Path) -> None:
    key = ALICE.public_key
    peers = merged({}, ConfiguredPeer(key, b"spam", routes=routes))
    assert merged(peers, ConfiguredPeer(key, name="alice"))[key].routes == routes
    save(tmp_path, peers)
    assert load(tmp_path) == peers
    for other in ("all", ()):
        assert merged(peers, ConfiguredPeer(key, routes=other))[key].routes == other


def test_a_name_is_for_one() -> None:
    peers = merged({}, ConfiguredPeer(ALICE.public_key, name="alice"))
    with pytest.raises(UsageError, match="'alice' is the name of peer A1A1A1A1A1A1A1A1 already"):
        merged(peers, ConfiguredPeer(BOB.public_key, name="ALICE"))
    assert merged(peers, ConfiguredPeer(ALICE.public_key, name="Alice"))[ALICE.public_key].name == "Alice"


# -- the file -------------------------------------------------------------------------------------

PEERS = {
    ALICE.public_key: ConfiguredPeer(ALICE.public_key, b"spam", "alice", INVITE),
    BOB.public_key: ConfiguredPeer(BOB.public_key),
}


def test_the_file(tmp_path: Path) -> None:
    assert load(tmp_path) == {}
    save(tmp_path, PEERS)
    assert load(tmp_path) == PEERS
    path = tmp_path / "peers.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert json.loads(path.read_text()) == {
        "schema": 1,
        "peers": [
            {
                "public_key": ALICE.public_key.hex().upper(),
                "tox_id": str(ALICE),
                "name": "alice",
                "invite": TOKEN,
            },
            {"public_key": BOB.public_key.hex().upper()},
        ],
    }


GOOD = json.loads(encode(PEERS))
KEY = GOOD["peers"][1]["public_key"]


def write(directory: Path, content: bytes) -> Path:
    path = directory / "peers.json"
    path.write_bytes(content)
    path.chmod(0o600)
    return path


@pytest.mark.parametrize(
    "entry",
    [
        5,
        {},
        {"public_key": "AB"},
        {"public_key": "3" * 62 + "F3"},  # a typo: libtoxcore has no such friend
        {"public_key": KEY, "tox_id": str(ALICE)},
        {"public_key": KEY, "invite": TOKEN},
        {"public_key": KEY, "name": "two words"},
        {"public_key": KEY, "name": 5},
        {"public_key": "0" * 64, "name": "ALICE"},
    ],
)
def test_a_damaged_entry_is_left_out_told_of_and_kept(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, entry: object
) -> None:
    document = GOOD | {"peers": [GOOD["peers"][0], entry, *GOOD["peers"][1:]]}
    path = write(tmp_path, json.dumps(document).encode())
    assert load(tmp_path) == PEERS
    assert "it is left out, and kept in" in caplog.text and TOKEN not in caplog.text
    assert caplog.text.count("\n") == 1
    assert json.loads(path.read_text()) == document
    save(tmp_path, PEERS)
    assert json.loads((tmp_path / "peers.json.bad").read_text()) == document


def test_the_damaged_entry_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write(tmp_path, json.dumps(GOOD | {"peers": [{"public_key": "3" * 62 + "F3", "name": "nas"}]}).encode())
    assert load(tmp_path) == {}
    assert "the entry of 'nas' is damaged ('3333333333333333...' is not a public key" in caplog.text


@pytest.mark.parametrize("document", [5, [], GOOD | {"schema": 2}, {"schema": 1}, GOOD | {"schema": "1"}])
def test_what_is_no_such_file_is_set_aside(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, document: object
) -> None:
    write(tmp_path, json.dumps(document).encode())
    assert load(tmp_path) == {}
    assert "there are no kept peers now" in caplog.text
    assert json.loads((tmp_path / "peers.json.bad").read_text()) == document


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[" * 100_000])
def test_no_json(tmp_path: Path, content: bytes) -> None:
    write(tmp_path, content)
    assert load(tmp_path) == {}
    assert (tmp_path / "peers.json.bad").read_bytes() == content


values = st.recursive(
    st.none() | st.integers() | st.text() | st.floats(), lambda inner: st.lists(inner, max_size=2)
)
entries: st.SearchStrategy[dict[str, Any]] = st.dictionaries(
    st.sampled_from(["public_key", "tox_id", "name", "invite", "routes"]),
    values | st.sampled_from([KEY, str(ALICE), TOKEN, "alice", ["all"], ["10.0.0.0/8"], ["x"]]),
)


@given(st.lists(values | entries, max_size=3))
def test_no_file_is_read_wrong(raw: list[Any]) -> None:
    left_out: list[str] = []
    peers = decode(json.dumps(GOOD | {"peers": raw}).encode(), left_out)
    assert len(peers) + len(left_out) <= len(raw)
    assert all(len(key) == 32 and peer.public_key == key for key, peer in peers.items())
    again: list[str] = []
    assert decode(encode(peers), again) == peers and again == []
