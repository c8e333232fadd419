import io
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from toxvpn.members import peers
from toxvpn.members.peers import NETWORK, ConfiguredPeer
from toxvpn.testing.fake_daemon import FakeDaemon
from toxvpn.wire.invite import Invite, encode
from toxvpn.wire.toxid import ToxId

HOST = ToxId(b"\xa1" * 31 + b"\1", b"spam")
INVITE = Invite(HOST, b"fifteen secrets", int(time.time()) + 3600)
TOKEN = encode(INVITE)


@pytest.mark.parametrize(
    "text",
    [TOKEN, TOKEN.upper(), f" {TOKEN[:50]} {TOKEN[50:]}\n"],
    ids=["as it is", "in capitals", "with spaces"],
)
def test_without_a_daemon_it_is_kept(toxvpn: Any, here: Path, text: str) -> None:
    ran = toxvpn("join", text, "-C", here, "--name", "host")
    assert (ran.code, ran.out) == (0, "")
    assert ran.err.endswith(
        "the next command that calls host, or `toxvpn up`, asks it to let this machine in\n"
    )
    assert peers.load(here) == {
        HOST.public_key: ConfiguredPeer(HOST.public_key, b"spam", "host", INVITE, may=NETWORK)
    }


def test_a_running_one_asks_at_once(toxvpn: Any, here: Path) -> None:
    with FakeDaemon(here, {"peer-add": {"public_key": "A1" * 32, "name": None}}) as daemon:
        ran = toxvpn("join", TOKEN, "-C", here)
        assert dict(daemon.asked[0].arguments) == {"peer": TOKEN}
    assert (ran.code, ran.out) == (0, "")
    assert ran.err.startswith("asking A1A1A1A1 ") and "`toxvpn wait A1A1A1A1`" in ran.err


def test_the_invite_can_come_from_stdin(toxvpn: Any, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{TOKEN}\n"))
    assert toxvpn("join", "-", "-C", here).code == 0
    assert list(peers.load(here)) == [HOST.public_key]


MISTAKES = [
    (str(HOST), "this is a Tox ID, not an invite"),
    (TOKEN[:-3], "93 characters"),
    ("host", "not an invite"),
    (encode(Invite(HOST, b"fifteen secrets", 1_000_000_000)), "expired at 2001-09-09 01:46 UTC"),
]


@pytest.mark.parametrize(("text", "message"), MISTAKES, ids=["an ID", "short", "a name", "expired"])
def test_mistakes(toxvpn: Any, here: Path, text: str, message: str) -> None:
    ran = toxvpn("join", text, "-C", here)
    assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1)
    assert message in ran.err and TOKEN[20:60] not in ran.err
    assert not (here / "peers.json").exists()


def test_our_own_invite_is_refused(toxvpn: Any, here: Path) -> None:
    token = toxvpn("invite", "-C", here).out.strip()
    ran = toxvpn("join", token, "-C", here)
    assert ran.code == 2 and "own Tox ID" in ran.err
