"""`toxvpn bugreport`: what is in it, and above all what is not."""

import re
from pathlib import Path
from typing import Any

import pytest

from toxvpn.cli import bugreport
from toxvpn.members import peers
from toxvpn.members.blocked import BLOCKED_NAME
from toxvpn.members.friends import FRIENDS_NAME
from toxvpn.members.peers import PEERS_NAME, ConfiguredPeer
from toxvpn.share.handout import FILES_SOCKET_NAME
from toxvpn.share.logfile import LOG_NAME
from toxvpn.share.rendezvous import RUN_SOCKET_NAME
from toxvpn.state.identity import SAVE_NAME
from toxvpn.state.secretfile import kept_secret
from toxvpn.testing.fake_daemon import FakeDaemon
from toxvpn.testing.fake_status import ALICE, TOX_ID
from toxvpn.tun.vpn import JOURNAL_NAME

SECRET = "a secret of the environment"


@pytest.fixture
def furnished(toxvpn: Any, here: Path) -> Path:
    """A directory with an identity, a secret and a peer."""
    toxvpn("id", "-C", here)
    kept_secret(here)
    peers.save(here, {ALICE: ConfiguredPeer(ALICE, bytes([1, 2, 3, 4]), "alice")})
    return here


def test_it_tells_versions_system_files_and_how_it_runs(toxvpn: Any, furnished: Path) -> None:
    with FakeDaemon(furnished):
        ran = toxvpn("bugreport", "-C", furnished)
    assert ran.code == 0
    assert re.search(r"^toxvpn \d", ran.out, re.MULTILINE) and "libtoxcore 0.2" in ran.out
    assert re.search(r"^page lock: ", ran.out, re.MULTILINE)
    assert re.search(r"^Linux \d", ran.out, re.MULTILINE) and "/dev/net/tun: " in ran.out
    assert re.search(r"^  tox_save: -rw-------, ours, \d+ bytes$", ran.out, re.MULTILINE)
    assert '"path": "tcp-relay"' in ran.out
    assert "check this before you send it" in ran.err


def test_it_knows_the_files_by_their_names() -> None:
    names = {
        RUN_SOCKET_NAME,
        FILES_SOCKET_NAME,
        LOG_NAME,
        BLOCKED_NAME,
        PEERS_NAME,
        FRIENDS_NAME,
        SAVE_NAME,
        JOURNAL_NAME,
    }
    assert names <= set(bugreport.FILES)


def test_it_has_no_secret_no_key_no_nospam_no_name(
    toxvpn: Any, furnished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(furnished.parent))
    own = toxvpn("id", "-C", furnished).out.strip()
    secret = kept_secret(furnished)[0].decode()
    with FakeDaemon(furnished):
        monkeypatch.setenv("TOXVPN_SHARED_SECRET", SECRET)
        ran = toxvpn("bugreport", "-C", furnished)
    for private in (
        own,
        own[:64],
        own[64:],
        TOX_ID,
        TOX_ID[:64],
        TOX_ID[64:],
        ALICE.hex(),
        secret,
        SECRET,
        "alice",
    ):
        assert private.lower() not in ran.out.lower()
    assert not re.search(r"[0-9A-Fa-f]{16}", ran.out)
    assert "100.64." not in ran.out and "6f78" not in ran.out
    assert str(furnished.parent) not in ran.out and "~/here: drwx" in ran.out


def test_it_is_no_failure_that_nothing_runs(toxvpn: Any, here: Path) -> None:
    ran = toxvpn("-C", here, "bugreport")
    assert ran.code == 0 and "toxvpn is not running" in ran.out
    assert not here.exists()
