"""The machine that -i means: an ID, an invite, a kept peer; and the identity that calls it."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from toxvpn.config.options import ClientOptions
from toxvpn.members import peers
from toxvpn.members.peers import ConfiguredPeer
from toxvpn.wire import invite
from toxvpn.wire.addressing import overlay_ipv6
from toxvpn.wire.invite import Invite
from toxvpn.wire.toxid import ToxId

BOX = ToxId(bytes(range(32)), b"\1\2\3\4")
FOREVER = 1 << 31
INVITE = Invite(BOX, bytes(15), FOREVER)


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """A directory that keeps one peer."""
    peer = ConfiguredPeer(BOX.public_key, BOX.nospam, "box")
    peers.save(tmp_path, {peer.public_key: peer})
    return tmp_path


@pytest.fixture
def usual(kept: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """It is where peers are kept without -C."""
    monkeypatch.setattr(
        "toxvpn.cli.root_flags.find_places",
        lambda directory: replace(_places(kept), data=directory or kept),
    )
    return kept


def _places(directory: Path) -> Any:
    from toxvpn.state.places import find_places

    return find_places(directory)


SELECTORS = ["box", "BOX", "00010203", BOX.public_key.hex(), str(overlay_ipv6(BOX.public_key))]


@pytest.mark.parametrize("text", SELECTORS)
def test_a_kept_peer_is_called_as_whom_it_knows(toxvpn: Any, usual: Path, text: str) -> None:
    options = toxvpn("-i", text, "-p").options
    assert options == ClientOptions(server=BOX, kept=True, ping=True)
    assert options.name == "box", "whatever was typed"


def test_with_the_secret_anybody_may_call(toxvpn: Any, usual: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOXVPN_SHARED_SECRET", "x")
    assert toxvpn("-i", "box", "-p").options == ClientOptions(server=BOX, secret=b"x", ping=True)


def test_with_c_it_is_that_directorys(toxvpn: Any, kept: Path) -> None:
    ran = toxvpn("-C", kept, "-i", "box", "-p")
    assert ran.options == ClientOptions(server=BOX, directory=kept, ping=True)


def test_what_a_kept_peer_invited_us_with_is_used(toxvpn: Any, usual: Path) -> None:
    peer = ConfiguredPeer(BOX.public_key, BOX.nospam, "box", INVITE)
    peers.save(usual, {peer.public_key: peer})
    assert toxvpn("-i", "box", "-p").options.invite == INVITE


def test_an_invite(toxvpn: Any, usual: Path) -> None:
    ran = toxvpn("-i", invite.encode(INVITE), "-p")
    assert ran.options == ClientOptions(server=BOX, invite=INVITE, kept=True, ping=True)


def test_an_id_is_called_as_a_stranger(toxvpn: Any, usual: Path) -> None:
    assert toxvpn("-i", str(BOX), "-p").options == ClientOptions(server=BOX, ping=True)


MISTAKES = {
    "nonsense": (4, "-i 'nonsense' is not a Tox ID, nor a peer that is kept here"),
    "FFFFFFFF": (4, "-i 'FFFFFFFF' is not a Tox ID, nor a peer that is kept here"),
    "7" * 64: (2, "is a public key; the Tox ID has 76 digits"),
    "F" * 64: (2, "is not a public key: its digit 63 must be 0 to 7, not F"),
    str(BOX)[:-1]: (2, "it has 75 digits"),
    "no name": (2, "-i 'no name' is not a Tox ID: character 1 is 'n'"),
    invite.encode(replace(INVITE, expires=1)): (2, "-i this invite expired"),
    "toxvpn-x": (2, "-i this invite has 1 characters"),
}


@pytest.mark.parametrize("text", MISTAKES)
def test_a_mistake(toxvpn: Any, usual: Path, text: str) -> None:
    ran = toxvpn("-i", text, "-p")
    code, message = MISTAKES[text]
    assert (ran.code, ran.started) == (code, [])
    assert message in ran.err


def test_a_peer_known_by_its_key_alone_cannot_be_called(toxvpn: Any, usual: Path) -> None:
    peers.save(usual, {BOX.public_key: ConfiguredPeer(BOX.public_key, None, "box")})
    ran = toxvpn("-i", "box", "-p")
    assert ran.code == 2 and "only the public key is known" in ran.err
