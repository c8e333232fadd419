"""`toxvpn peer`: with a running daemon the change is sent to it, without one the files are changed."""

import json
import os
import stat
import subprocess
import sys
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from toxvpn.control.status import PeerState
from toxvpn.errors import PeerRefusedError, UsageError
from toxvpn.members import blocked, friends, peers
from toxvpn.members.friends import FriendBook, Grant
from toxvpn.members.peers import ALL, NETWORK, ConfiguredPeer, May
from toxvpn.state.identity import Identity
from toxvpn.testing.fake_daemon import FakeDaemon
from toxvpn.wire.addressing import overlay_ipv6
from toxvpn.wire.routegrant import RouteGrant
from toxvpn.wire.toxid import ToxId

ALICE, BOB = (ToxId(bytes([number]) * 31 + b"\1", b"spam") for number in (0xA1, 0xB0))
LATER = "saved; toxvpn is not running, so this takes effect at its next start\n"


# -- without a daemon -----------------------------------------------------------------------------


def test_peers_are_kept_for_the_next_start(toxvpn: Any, here: Path) -> None:
    ran = toxvpn("peer", "add", ALICE, "--name", "alice", "-C", here)
    assert (ran.code, ran.out, ran.err) == (0, "", LATER)
    assert toxvpn("-C", here, "peer", "add", BOB.public_key.hex()).code == 0
    assert toxvpn("peer", "-C", here, "add", ALICE).code == 0  # once more changes nothing
    assert peers.load(here) == {
        ALICE.public_key: ConfiguredPeer(ALICE.public_key, b"spam", "alice", may=NETWORK),
        BOB.public_key: ConfiguredPeer(BOB.public_key, may=NETWORK),
    }
    assert stat.S_IMODE((here / "peers.json").stat().st_mode) == 0o600


def address(of: ToxId) -> str:
    return str(overlay_ipv6(of.public_key))


def test_listing(toxvpn: Any, here: Path) -> None:
    ran = toxvpn("peer", "list", "-C", here)
    assert (ran.code, ran.out) == (0, "")
    assert "is not running" in ran.err and "toxvpn peer add ID" in ran.err
    assert not here.exists()
    toxvpn("peer", "add", ALICE, "--name", "alice", "-C", here)
    book = FriendBook()
    book.authorise(BOB.public_key, Grant.ACCEPT, 0)
    friends.save(here, book)
    with Identity.open(here):  # who only looks on does not need it
        ran = toxvpn("peer", "list", "-C", here)
    assert [line.split() for line in ran.out.splitlines()] == [
        ["NAME", "KEY", "ADDRESS", "PATH", "LET", "IN", "BY"],
        ["alice", "A1A1A1A1A1A1A1A1", address(ALICE), "peer"],
        ["B0B0B0B0B0B0B0B0", address(BOB), "accept"],
    ]


@pytest.mark.parametrize("selector", ["alice", "A1A1", str(ALICE)])
def test_naming(toxvpn: Any, here: Path, selector: str) -> None:
    toxvpn("peer", "add", ALICE, "--name", "alice", "-C", here)
    assert toxvpn("peer", "name", selector, "liz", "-C", here).code == 0
    assert peers.load(here) == {
        ALICE.public_key: ConfiguredPeer(ALICE.public_key, b"spam", "liz", may=NETWORK)
    }


ROUTES: list[tuple[list[str], RouteGrant]] = [
    (["192.168.10.0/24", "fd00:10::/64"], (ip_network("192.168.10.0/24"), ip_network("fd00:10::/64"))),
    (["all"], "all"),
    (["none"], ()),
]


@pytest.mark.parametrize(("words", "routes"), ROUTES)
def test_routes(toxvpn: Any, here: Path, words: list[str], routes: RouteGrant) -> None:
    toxvpn("peer", "add", ALICE, "--name", "alice", "-C", here)
    ran = toxvpn("peer", "route", "alice", *words, "-C", here)
    assert (ran.code, ran.out, ran.err) == (0, "", LATER)
    assert peers.load(here) == {
        ALICE.public_key: ConfiguredPeer(ALICE.public_key, b"spam", "alice", may=NETWORK, routes=routes)
    }
    toxvpn("peer", "add", ALICE, "--name", "liz", "-C", here)
    assert peers.load(here)[ALICE.public_key].routes == routes


def test_what_a_peer_may_reach_is_replaced(toxvpn: Any, here: Path) -> None:
    toxvpn("peer", "add", ALICE, "--name", "alice", "-C", here)
    for typed, kept in ((["localhost:22", "icmp"], ("localhost:22", "icmp")), (["--nothing"], ())):
        ran = toxvpn("peer", "allow", "alice", *typed, "-C", here)
        assert (ran.code, ran.out) == (0, "") and "takes effect at its next start" in ran.err
        assert peers.load(here)[ALICE.public_key] == ConfiguredPeer(
            ALICE.public_key, b"spam", "alice", may=NETWORK, allow=kept
        )


@pytest.mark.parametrize("selector", ["alice", "A1A1", str(ALICE)])
def test_removing(toxvpn: Any, here: Path, selector: str) -> None:
    toxvpn("peer", "add", ALICE, "--name", "alice", "-C", here)
    book = FriendBook()
    book.authorise(ALICE.public_key, Grant.PEER, 0)
    friends.save(here, book)
    assert toxvpn("peer", "remove", selector, "-C", here).code == 0
    assert peers.load(here) == {}
    assert ALICE.public_key not in friends.load(here)
    assert toxvpn("peer", "remove", selector, "-C", here).code == 4


def test_who_has_asked_is_known_to_a_running_one_only(toxvpn: Any, here: Path) -> None:
    ran = toxvpn("peer", "accept", "A1A1A1A1", "-C", here)
    assert ran.code == 3 and "only a running toxvpn has the requests to accept" in ran.err


def test_our_own_id_is_refused(toxvpn: Any, here: Path) -> None:
    own = toxvpn("id", "-C", here).out.strip()
    for text in (own, own[:64]):
        ran = toxvpn("peer", "add", text, "-C", here)
        assert ran.code == 2 and "own Tox ID" in ran.err
    assert not (here / "peers.json").exists()


MISTAKES = [
    (["add", "nonsense"], 2, "is not a Tox ID"),
    (["add", str(ALICE)[:-1]], 2, "75 digits"),
    (["add", "toxvpn-abc"], 2, "3 characters"),
    (["add", str(ALICE), "--name", "two words"], 2, "not usable"),
    (["add"], 2, "missing argument"),
    (["remove", "nobody"], 4, "no peer 'nobody'"),
    (["name", "nobody", "somebody"], 4, "no peer 'nobody'"),
    (["route", "nobody", "all"], 4, "no peer 'nobody'"),
    (["route", "nobody"], 2, "missing argument"),
    (["route", "nobody", "office"], 2, "'office' is not a network"),
    (["route", "nobody", "10.1.2.3/8"], 2, "write 10.0.0.0/8"),
    (["route", "nobody", "all", "10.0.0.0/8"], 2, "'all' stands alone"),
    (["dance"], 2, "no such command"),
    (["allow", "nobody", "icmp"], 4, "no peer 'nobody'"),
    (["allow", "nobody"], 2, "or --nothing"),
    (["allow", "nobody", "icmp", "--nothing"], 2, "or --nothing"),
    (["allow", "nobody", "localhost"], 2, "rule 'localhost': the port is missing"),
]


@pytest.mark.parametrize(("arguments", "code", "message"), MISTAKES)
def test_mistakes(toxvpn: Any, here: Path, arguments: list[str], code: int, message: str) -> None:
    ran = toxvpn("peer", *arguments, "-C", here)
    assert (ran.code, ran.out, ran.err.count("\n")) == (code, "", 1)
    assert message in ran.err


def test_a_process_that_holds_the_identity_keeps_others_out(toxvpn: Any, here: Path) -> None:
    """Such as a client with -C, or one that is stopping: its end would write over the change."""
    with Identity.open(here):
        ran = toxvpn("peer", "add", ALICE, "-C", here)
    assert ran.code == 1 and f"in use by process {os.getpid()}" in ran.err
    assert not (here / "peers.json").exists()


def test_damaged_peers_are_told(toxvpn: Any, here: Path) -> None:
    here.mkdir()
    (here / "peers.json").write_text("{}")
    ran = toxvpn("peer", "add", ALICE, "-C", here)
    assert ran.code == 0 and "there are no kept peers now" in ran.err
    assert (here / "peers.json.bad").read_text() == "{}"


def test_a_key_that_can_be_no_friend_is_not_kept(toxvpn: Any, here: Path) -> None:
    ran = toxvpn("peer", "add", "3" * 62 + "F3", "-C", here)
    assert ran.code == 2 and "is not a public key" in ran.err
    assert not (here / "peers.json").exists()


def test_many_at_once_lose_nothing(here: Path) -> None:
    ids = [str(ToxId(bytes([number]) * 32, b"spam")) for number in range(4)]
    commands = [
        subprocess.Popen(
            [sys.executable, "-m", "toxvpn", "peer", "add", tox_id, "-C", str(here)], stderr=subprocess.PIPE
        )
        for tox_id in ids
    ]
    for command in commands:
        message = command.communicate(timeout=30)[1]
        assert command.returncode == 0, message
    assert {str(peer.tox_id) for peer in peers.load(here).values()} == set(ids)


def test_whom_we_call_may_use_forwards_only_if_that_is_said(toxvpn: Any, here: Path) -> None:
    def may() -> frozenset[May] | None:
        return peers.load(here)[ALICE.public_key].may

    toxvpn("peer", "add", ALICE, "-C", here)
    assert may() == NETWORK
    toxvpn("peer", "add", ALICE, "--may", "forwards", "-C", here)
    assert may() == frozenset({May.FORWARDS})
    toxvpn("peer", "add", ALICE, "--may", "forwards", "--may", "vpn", "-C", here)
    toxvpn("peer", "add", ALICE, "--name", "alice", "-C", here)
    assert may() == ALL
    with FakeDaemon(here, {"peer-add": ALICE_THERE | {"may": ["vpn"]}}) as daemon:
        assert "allow that with --may forwards" in toxvpn("peer", "add", ALICE, "-C", here).err
        assert toxvpn("peer", "add", ALICE, "--may", "vpn", "-C", here).err == ""
        assert dict(daemon.asked[1].arguments) == {"peer": str(ALICE), "may": ["vpn"]}


def test_blocking_for_the_next_start(toxvpn: Any, here: Path) -> None:
    toxvpn("peer", "add", ALICE, "--name", "alice", "-C", here)
    assert toxvpn("peer", "block", "alice", "-C", here).code == 0
    assert toxvpn("peer", "block", BOB, "-C", here).code == 0  # never heard of
    listed = toxvpn("peer", "list", "-C", here).out
    assert "no peers" not in listed and "alice    A1A1A1A1A1A1A1A1" in listed and "B0B0B0B0B0B0B0B0" in listed
    assert set(blocked.load(here)) == {ALICE.public_key, BOB.public_key} and peers.load(here) == {}
    assert toxvpn("peer", "unblock", "B0B0", "-C", here).code == 0
    assert set(blocked.load(here)) == {ALICE.public_key}
    ran = toxvpn("peer", "unblock", "B0B0", "-C", here)
    assert ran.code == 4 and "shows who is blocked" in ran.err


# -- with a daemon --------------------------------------------------------------------------------

ALICE_THERE = {"public_key": ALICE.public_key.hex().upper(), "name": "alice"}


def test_a_running_one_is_told_and_keeps_the_files_itself(toxvpn: Any, here: Path) -> None:
    answers = {"peer-add": ALICE_THERE, "peer-remove": ALICE_THERE, "peer-accept": ALICE_THERE}
    answers["peer-allow"] = ALICE_THERE
    with FakeDaemon(here, dict(answers)) as daemon:
        for arguments in (
            ["add", ALICE, "--name", "alice"],
            ["add", ALICE],
            ["remove", "alice"],
            ["accept", "A1A1A1A1", "--name", "alice", "--allow", "localhost:22", "--allow", "icmp"],
            ["allow", "alice", "localhost:22", "icmp"],
            ["allow", "alice", "--nothing"],
            ["accept", "A1A1A1A1"],
        ):
            ran = toxvpn("peer", *arguments, "-C", here)
            assert (ran.code, ran.out) == (0, "")
        told = f"let in: {ALICE.public_key.hex().upper()}\nit may reach nothing here over the VPN; "
        assert ran.err.startswith(told)
        assert [(asked.do, dict(asked.arguments)) for asked in daemon.asked] == [
            ("peer-add", {"peer": str(ALICE), "name": "alice"}),
            ("peer-add", {"peer": str(ALICE)}),
            ("peer-remove", {"peer": "alice"}),
            ("peer-accept", {"peer": "A1A1A1A1", "name": "alice", "allow": ["localhost:22", "icmp"]}),
            ("peer-allow", {"peer": "alice", "allow": ["localhost:22", "icmp"]}),
            ("peer-allow", {"peer": "alice", "allow": []}),
            ("peer-accept", {"peer": "A1A1A1A1"}),
        ]
    assert not (here / "peers.json").exists()


def test_a_running_one_uses_routes_at_once(toxvpn: Any, here: Path) -> None:
    with FakeDaemon(here, {"peer-route": ALICE_THERE}) as daemon:
        ran = toxvpn("peer", "route", "alice", "192.168.10.0/24", "-C", here)
        assert (ran.code, ran.out, ran.err) == (0, "", "")
        [asked] = daemon.asked
        assert (asked.do, asked.arguments) == ("peer-route", {"peer": "alice", "routes": ["192.168.10.0/24"]})


def test_a_running_one_blocks_and_tells_what_that_does_not_end(toxvpn: Any, here: Path) -> None:
    answers = {"peer-block": ALICE_THERE | {"grant": "secret"}, "peer-unblock": ALICE_THERE}
    with FakeDaemon(here, dict(answers)) as daemon:
        ran = toxvpn("peer", "block", "alice", "-C", here)
        assert (ran.code, ran.out) == (0, "") and "`toxvpn secret renew` ends that" in ran.err
        assert toxvpn("peer", "unblock", "alice", "-C", here).err == ""
        assert [asked.do for asked in daemon.asked] == ["peer-block", "peer-unblock"]


def test_its_refusal_is_ours(toxvpn: Any, here: Path) -> None:
    answers: dict[str, Any] = {"peer-add": UsageError("no"), "peer-accept": PeerRefusedError("who?")}
    with FakeDaemon(here, answers):
        assert toxvpn("peer", "add", ALICE, "-C", here).code == 2
        ran = toxvpn("peer", "accept", "A1A1A1A1", "-C", here)
        assert (ran.code, ran.err) == (4, "toxvpn: who?\n")
        ran = toxvpn("peer", "remove", "alice", "-C", here)
        assert ran.code == 2 and "cannot do 'peer-remove'" in ran.err


def test_listing_a_running_one(toxvpn: Any, here: Path) -> None:
    with FakeDaemon(here):
        ran = toxvpn("peer", "list", "-C", here)
    assert ran.code == 0
    assert [line.split() for line in ran.out.splitlines()] == [
        ["NAME", "KEY", "ADDRESS", "PATH", "LET", "IN", "BY"],
        ["alice", "B0B0B0B0B0B0B0B0", "100.64.7.2", "direct", "peer"],
        ["bob", "CACACACACACACACA", "fd74:6f78::3", "tcp-relay", "invite"],
        ["0000000000000000", "offline"],
        [],
        ["ASKED", "TO", "JOIN", "LAST", "TIMES", "REFUSED", "BECAUSE"],
        ["D0D0D0D0D0D0D0D0", "2027-01-15T08:01:00Z", "2", "unknown", "key"],
        ["to", "let", "one", "in:"],
        ["toxvpn", "-C", str(here), "peer", "accept", "D0D0D0D0D0D0D0D0"],
        [],
        ["BLOCKED", "KEY", "SINCE"],
        ["eve", "EEEEEEEEEEEEEEEE", "2027-01-15T08:00:00Z"],
    ]


def test_the_file_is_as_documented(toxvpn: Any, here: Path) -> None:
    toxvpn("peer", "add", ALICE, "--name", "alice", "-C", here)
    assert json.loads((here / "peers.json").read_text()) == {
        "schema": 1,
        "peers": [
            {
                "public_key": ALICE.public_key.hex().upper(),
                "tox_id": str(ALICE),
                "name": "alice",
                "may": ["vpn"],
            }
        ],
    }


@pytest.mark.parametrize(
    "words", [("allow", "icmp"), ("route", "all"), ("name", "bee"), ("remove",), ("block",)]
)
def test_a_name_that_a_peer_gave_itself_means_nobody(toxvpn: Any, here: Path, words: tuple[str, ...]) -> None:
    verb, *rest = words
    with FakeDaemon(here, {f"peer-{verb}": PeerRefusedError("who?")}) as daemon:
        daemon.status = replace(
            daemon.status, peers=[PeerState(public_key=ALICE.public_key, dns_name="vm-2.tox.internal")]
        )
        ran = toxvpn("peer", verb, "vm-2", *rest, "-C", here)
        assert ran.code == 4
        assert "give its key, A1A1A1A1, or first a name of yours by `toxvpn peer name A1A1A1A1" in ran.err
        assert "who?" in toxvpn("peer", verb, "other", *rest, "-C", here).err
