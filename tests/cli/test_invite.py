import io
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from toxvpn.members import invites
from toxvpn.members.peers import ALL, NETWORK
from toxvpn.testing.fake_daemon import FakeDaemon
from toxvpn.wire.invite import Invite, decode, encode
from toxvpn.wire.toxid import ToxId

TOKEN = encode(Invite(ToxId(bytes(32), b"spam"), b"fifteen secrets", 1_800_000_000))
MADE = {"token": TOKEN, "expires": 1_800_000_000}
LISTED = {"handle": "0123abcd", "expires": 1_800_000_000, "name": "guest", "used_by": None}


# -- without a daemon -----------------------------------------------------------------------------


def test_the_invite_alone_is_on_stdout(toxvpn: Any, here: Path) -> None:
    ran = toxvpn("invite", "-C", here, "--name", "guest")
    assert ran.code == 0 and ran.out.count("\n") == 1
    invite = decode(ran.out)
    assert str(invite.tox_id) == toxvpn("id", "-C", here).out.strip()
    assert invite.expires == pytest.approx(time.time() + 86400, abs=60)
    assert "start it here (toxvpn up)" in ran.err and "there: toxvpn join INVITE" in ran.err
    assert (
        "which may use forwards and be on the network, where it may reach here: nothing (--allow" in ran.err
    )
    ran = toxvpn("invite", "-C", here, "--may", "vpn", "--allow", "localhost:22", "--allow", "icmp")
    assert "which may be on the network, where it may reach here: localhost:22, icmp;" in ran.err
    assert {each.allow for each in invites.load(here)} == {None, ("localhost:22", "icmp")}
    assert {each.may for each in invites.load(here)} == {ALL, NETWORK}
    assert ran.out.strip() not in ran.err
    (kept,) = (each for each in invites.load(here) if each.name)
    assert (kept.name, kept.used_by, kept.digest) == ("guest", None, invites.digest_of(invite.secret))


def test_each_is_another(toxvpn: Any, here: Path) -> None:
    tokens = {toxvpn("invite", "-C", here).out for _ in range(2)}
    assert len({decode(token).secret for token in tokens}) == 2
    assert len(list(invites.load(here))) == 2


def test_listing_and_revoking(toxvpn: Any, here: Path) -> None:
    ran = toxvpn("invite", "--list", "-C", here)
    assert (ran.code, ran.out, ran.err) == (0, "", "there are no outstanding invites\n")
    toxvpn("invite", "--name", "guest", "--allow", "icmp", "-C", here)
    heading, row = toxvpn("invite", "--list", "-C", here).out.splitlines()
    assert heading.split() == ["INVITE", "GOOD", "UNTIL", "NAME", "MAY", "REACHES", "USED", "BY"]
    handle, *_, name, one, other, reaches = row.split()
    assert (name, one, other, reaches) == ("guest", "forwards,", "vpn", "icmp")
    assert toxvpn("invite", "--revoke", handle[:6], "-C", here).code == 0
    assert list(invites.load(here)) == []
    assert toxvpn("invite", "--revoke", handle, "-C", here).code == 4


@pytest.mark.parametrize(
    ("text", "lifetime_s"), [("90s", 90), ("30m", 1800), ("24h", 86400), ("7d", 7 * 86400)]
)
def test_times(toxvpn: Any, here: Path, text: str, lifetime_s: int) -> None:
    with FakeDaemon(here, {"invite": MADE}) as daemon:
        assert toxvpn("invite", "--expires", text, "-C", here).code == 0
        assert dict(daemon.asked[0].arguments) == {"lifetime_s": lifetime_s}


@pytest.mark.parametrize(
    "text", ["", "h", "24", "-1h", "1.5h", "1w", "²h", "1" * 20 + "d", "30s", "366d", "0m"]
)
def test_times_that_cannot_be(toxvpn: Any, here: Path, text: str) -> None:
    ran = toxvpn("invite", "--expires", text, "-C", here)
    assert (ran.code, ran.out) == (2, "")
    assert "toxvpn: " in ran.err


def test_mistakes(toxvpn: Any, here: Path) -> None:
    assert toxvpn("invite", "--list", "--revoke", "0123", "-C", here).code == 2
    assert toxvpn("invite", "--name", "two words", "-C", here).code == 2
    assert toxvpn("invite", "--allow", "localhost", "-C", here).code == 2


# -- with a daemon --------------------------------------------------------------------------------


def test_a_running_one_makes_it(toxvpn: Any, here: Path) -> None:
    with FakeDaemon(here, {"invite": MADE}) as daemon:
        ran = toxvpn("invite", "--name", "guest", "-C", here)
        assert (ran.code, ran.out) == (0, TOKEN + "\n")
        assert ran.err == "valid until 2027-01-15 08:00 UTC, for one machine; there: toxvpn join INVITE\n"
    with FakeDaemon(here, {"invite": MADE | {"may": ["forwards", "vpn"]}}):
        assert (
            "machine, which may use forwards and be on the network; there" in toxvpn("invite", "-C", here).err
        )
        assert dict(daemon.asked[0].arguments) == {"lifetime_s": 86400, "name": "guest"}
    assert not (here / "invites.json").exists()


@pytest.mark.parametrize(
    ("config", "flags", "may"),
    [
        (None, [], {"forwards", "vpn"}),
        ("[server]", [], {"forwards"}),
        ("[vpn]", [], {"vpn"}),
        ("[server]\n[vpn]", [], {"forwards", "vpn"}),
        ("[server]\n[vpn]", ["--may", "forwards"], {"forwards"}),
    ],
)
def test_it_lets_do_what_there_is_to_be_had(
    toxvpn: Any, here: Path, config: str | None, flags: list[str], may: set[str]
) -> None:
    here.mkdir()
    if config is not None:
        (here / "config.toml").write_text(config)
    assert toxvpn("invite", *flags, "-C", here).code == 0
    assert [each.may for each in invites.load(here)] == [may]


def test_a_running_one_lists_and_revokes(toxvpn: Any, here: Path) -> None:
    with FakeDaemon(here, {"invite-list": [LISTED], "invite-revoke": LISTED}) as daemon:
        ran = toxvpn("invite", "--list", "-C", here)
        assert ran.out.splitlines()[1].split() == ["0123abcd", "2027-01-15", "08:00", "UTC", "guest"]
        assert toxvpn("invite", "--revoke", "0123", "-C", here).code == 0
        assert dict(daemon.asked[1].arguments) == {"invite": "0123"}


# -- the QR code ----------------------------------------------------------------------------------


def test_a_qr_code_is_on_stderr_when_asked_for(toxvpn: Any, here: Path) -> None:
    with FakeDaemon(here, {"invite": MADE}):
        plain, shown = toxvpn("invite", "-C", here), toxvpn("invite", "--qr", "-C", here)
    assert plain.out == shown.out == TOKEN + "\n"
    assert plain.err.count("\n") == 1
    assert shown.err.count("\n") == 1 + 19  # version 4: 33 modules and a border, two in a line
    assert "█" in shown.err


class Terminal(io.TextIOWrapper):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_a_terminal_gets_one_unless_told_otherwise(
    toxvpn: Any, here: Path, monkeypatch: pytest.MonkeyPatch, encoding: str
) -> None:
    with FakeDaemon(here, {"invite": MADE}):
        for flags, shown in (([], True), (["--no-qr"], False)):
            written = io.BytesIO()
            terminal = Terminal(written, encoding=encoding)
            monkeypatch.setattr(sys, "stderr", terminal)
            assert toxvpn("invite", *flags, "-C", here).out == TOKEN + "\n"
            terminal.flush()
            assert (written.getvalue().count(b"\n") > 15) is shown


def test_the_code_holds_the_token_in_the_compact_mode() -> None:
    import segno

    code = segno.make(TOKEN.upper(), micro=False)
    assert (code.mode, code.version) == ("alphanumeric", 4)
    assert decode(TOKEN.upper()) == decode(TOKEN)
