"""`toxvpn id`: the contract that scripts rely on."""

import re
import stat
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from toxvpn._native.options import Options
from toxvpn._native.toxcore import Tox
from toxvpn.cli import id as id_command
from toxvpn.state.identity import Identity
from toxvpn.wire.toxid import parse_tox_id

QUIET = Options(udp=False, local_discovery=False)


@pytest.fixture
def savedata() -> bytes:
    """As a running program would have saved it: with a friend."""
    friend = Tox(QUIET)
    tox = Tox(QUIET)
    tox.friend_add_norequest(friend.public_key)
    try:
        return tox.savedata()
    finally:
        friend.close()
        tox.close()


def address_of(savedata: bytes) -> str:
    tox = Tox(QUIET, savedata)
    try:
        return tox.address.hex().upper()
    finally:
        tox.close()


@pytest.mark.parametrize("before", [True, False])
def test_an_identity_is_made_once_and_the_id_is_alone_on_stdout(
    toxvpn: Any, tmp_path: Path, before: bool
) -> None:
    place = ("-C", tmp_path / "new")
    first = toxvpn(*place, "id") if before else toxvpn("id", *place)
    again = toxvpn("id", *place)
    assert (first.code, first.err) == (0, "")
    assert re.fullmatch(r"[0-9A-F]{76}\n", first.out)
    assert again.out == first.out
    parse_tox_id(first.out)
    assert stat.S_IMODE((tmp_path / "new" / "tox_save").stat().st_mode) == 0o600


def test_the_directory_after_the_verb_wins(toxvpn: Any, tmp_path: Path) -> None:
    toxvpn("-C", tmp_path / "before", "id", "-C", tmp_path / "after")
    assert (tmp_path / "after" / "tox_save").exists() and not (tmp_path / "before").exists()


def test_a_bootstrap_list_is_accepted_on_either_side(toxvpn: Any, tmp_path: Path) -> None:
    assert toxvpn("-b", "x", "id", "-C", tmp_path).out == toxvpn("id", "-b", "x", "-C", tmp_path).out


def test_without_a_directory_the_usual_place_is_used(
    toxvpn: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("toxvpn.state.places.SERVICE_DATA", tmp_path / "toxvpn")  # as root
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert toxvpn("id").code == 0
    assert (tmp_path / "toxvpn" / "tox_save").exists()


def test_a_tuntox_identity_is_adopted(toxvpn: Any, tmp_path: Path, savedata: bytes) -> None:
    (tmp_path / "tox_save").write_bytes(savedata)
    (tmp_path / "tox_save").chmod(0o644)
    ran = toxvpn("id", "-C", tmp_path)
    assert (ran.code, ran.out) == (0, address_of(savedata) + "\n")
    assert "WARNING" in ran.err and "0600" in ran.err
    assert (tmp_path / "tox_save").read_bytes() == savedata


def test_it_answers_while_the_daemon_runs(toxvpn: Any, tmp_path: Path, savedata: bytes) -> None:
    with Identity.open(tmp_path) as identity:
        identity.save(savedata)
        assert toxvpn("id", "-C", tmp_path).out == address_of(savedata) + "\n"


def test_it_waits_for_a_daemon_that_is_just_starting(toxvpn: Any, tmp_path: Path, savedata: bytes) -> None:
    with Identity.open(tmp_path) as identity:
        threading.Timer(0.2, identity.save, [savedata]).start()
        assert toxvpn("id", "-C", tmp_path).out == address_of(savedata) + "\n"


def test_it_does_not_wait_for_ever(toxvpn: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(id_command, "STARTING_S", 0.0)
    with Identity.open(tmp_path):
        ran = toxvpn("id", "-C", tmp_path)
    assert (ran.code, ran.out) == (1, "")
    assert "another process" in ran.err


@pytest.mark.parametrize("keep", [0, 8, 60, 84, 200, 900])
def test_truncated_savedata_is_refused_and_kept(
    toxvpn: Any, tmp_path: Path, savedata: bytes, keep: int
) -> None:
    (tmp_path / "tox_save").write_bytes(savedata[:keep])
    (tmp_path / "tox_save").chmod(0o600)
    ran = toxvpn("id", "-C", tmp_path)
    assert (ran.code, ran.out) == (78, "")
    assert "tox_save is not usable" in ran.err and ran.err.count("\n") == 1
    assert (tmp_path / "tox_save").read_bytes() == savedata[:keep]


def test_savedata_that_libtoxcore_refuses_is_named(toxvpn: Any, tmp_path: Path, savedata: bytes) -> None:
    broken = bytearray(savedata)
    friends = broken.index((3).to_bytes(2, "little") + b"\xce\x01", 8)
    broken[friends - 4] ^= 1  # the friend list's length, so that the sections do not meet any more
    (tmp_path / "tox_save").write_bytes(broken)
    (tmp_path / "tox_save").chmod(0o600)
    ran = toxvpn("id", "-C", tmp_path)
    assert ran.code == 78 and f"{tmp_path}/tox_save" in ran.err


def test_a_place_that_cannot_be_used(toxvpn: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    ran = toxvpn("id", "-C", tmp_path / "file")
    assert ran.code == 78
    assert ran.err.startswith("toxvpn: cannot ") and "Not a directory" in ran.err


def test_many_at_once_agree(tmp_path: Path) -> None:
    commands = [
        subprocess.Popen(
            [sys.executable, "-m", "toxvpn", "id", "-C", tmp_path / "new"], stdout=subprocess.PIPE, text=True
        )
        for _ in range(4)
    ]
    printed = {command.communicate(timeout=30)[0] for command in commands}
    assert len(printed) == 1 and len(printed.pop()) == 77


@pytest.mark.parametrize("arguments", [["-d", "id"], ["id", "-d"]])
def test_debug_counts_on_either_side_of_the_verb(toxvpn: Any, tmp_path: Path, arguments: list[str]) -> None:
    (tmp_path / "file").write_text("")
    ran = toxvpn("-C", tmp_path / "file", *arguments)
    assert ran.code == 78 and "Traceback" in ran.err


def test_a_new_nospam_keeps_the_key_and_the_friends(toxvpn: Any, tmp_path: Path, savedata: bytes) -> None:
    (tmp_path / "tox_save").write_bytes(savedata)
    before = toxvpn("-C", tmp_path, "id").out.strip()
    after = toxvpn("-C", tmp_path, "id", "--new-nospam").out.strip()
    assert after == toxvpn("-C", tmp_path, "id").out.strip()
    assert after != before and after[:64] == before[:64]
    tox = Tox(QUIET, (tmp_path / "tox_save").read_bytes())
    assert len(tox.friend_list()) == 1
    tox.close()


def test_a_new_nospam_is_not_for_an_identity_in_use(toxvpn: Any, tmp_path: Path) -> None:
    with Identity.open(tmp_path):
        result = toxvpn("-C", tmp_path, "id", "--new-nospam")
    assert result.code == 1 and "in use" in result.err
