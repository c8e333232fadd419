import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from toxvpn.errors import ConfigError, ToxvpnError
from toxvpn.state.identity import MAGIC, Identity, IdentityInUseError, read_savedata


def section(kind: int, content: bytes) -> bytes:
    return len(content).to_bytes(4, "little") + kind.to_bytes(2, "little") + b"\xce\x01" + content


KEYS = section(1, bytes(range(68)))
END = section(255, b"")
SAVEDATA = MAGIC + KEYS + section(2, b"nodes") + section(3, b"friends") + END + bytes(100)


def test_a_new_directory_has_no_identity_yet_and_keeps_what_is_saved(tmp_path: Path) -> None:
    with Identity.open(tmp_path / "new") as identity:
        assert identity.savedata is None
        assert identity.save(SAVEDATA)
    with Identity.open(tmp_path / "new") as identity:
        assert identity.savedata == SAVEDATA


def test_saving_what_is_there_already_writes_nothing(tmp_path: Path) -> None:
    with Identity.open(tmp_path) as identity:
        identity.save(SAVEDATA)
        inode = (tmp_path / "tox_save").stat().st_ino
        assert not identity.save(SAVEDATA)
        assert (tmp_path / "tox_save").stat().st_ino == inode
        assert identity.save(SAVEDATA + b"\0")


def test_a_tuntox_directory_is_adopted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "tox_save").write_bytes(SAVEDATA)
    (tmp_path / "tox_save").chmod(0o644)
    with Identity.open(tmp_path) as identity:
        assert identity.savedata == SAVEDATA
    assert stat.S_IMODE((tmp_path / "tox_save").stat().st_mode) == 0o600
    assert "0600" in caplog.text


def test_an_ephemeral_identity_touches_no_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with Identity.ephemeral() as identity:
        assert identity.savedata is None
        assert not identity.save(SAVEDATA)
    assert list(tmp_path.iterdir()) == []


DAMAGED = {
    "empty": (b"", "empty"),
    "encrypted": (b"toxEsave" + bytes(200), "encrypted"),
    "something else": (b"PK\x03\x04" + bytes(500), "not Tox savedata"),
    "zeros": (bytes(500), "not Tox savedata"),
    "header only": (MAGIC, "ends early"),
    "cut in a section": (SAVEDATA[:60], "ends early"),
    "cut between sections": (MAGIC + KEYS, "ends early"),
    "no keys": (MAGIC + section(3, b"friends") + END, "no key"),
    "short keys": (MAGIC + section(1, bytes(40)) + END, "is damaged"),
    "noise after the header": (MAGIC + b"\1\2\3\4" * 50, "is damaged"),
}


@pytest.mark.parametrize(("content", "why"), DAMAGED.values(), ids=list(DAMAGED))
def test_damaged_savedata_is_refused_and_left_as_it_is(tmp_path: Path, content: bytes, why: str) -> None:
    (tmp_path / "tox_save").write_bytes(content)
    for read in (Identity.open, read_savedata):
        with pytest.raises(ConfigError, match=f"tox_save is not usable: .*{why}.*backup") as caught:
            read(tmp_path)
        assert caught.value.exit_code == 78
        assert "\n" not in str(caught.value)
    assert (tmp_path / "tox_save").read_bytes() == content
    (tmp_path / "tox_save").unlink()
    Identity.open(tmp_path).close()  # the refusal let go of the lock


HOLDER = """
import sys
from pathlib import Path
from toxvpn.state.identity import Identity
identity = Identity.open(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


def test_a_second_process_is_told_who_holds_the_identity(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None and holder.stdin is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(IdentityInUseError, match=f"in use by process {holder.pid}; .*-C DIR"):
            Identity.open(tmp_path)
        assert read_savedata(tmp_path) is None  # reading is always possible
        holder.kill()
        holder.wait(10)
    Identity.open(tmp_path).close()  # a kill -9 leaves nothing behind


def test_a_second_opening_in_one_process_is_refused_too(tmp_path: Path) -> None:
    with Identity.open(tmp_path):
        with pytest.raises(IdentityInUseError, match=f"process {os.getpid()};"):
            Identity.open(tmp_path)
        assert (tmp_path / "lock").read_text() == f"{os.getpid()}\n"


def test_after_closing_it_is_somebody_elses(tmp_path: Path) -> None:
    identity = Identity.open(tmp_path)
    identity.close()
    identity.close()
    with pytest.raises(ToxvpnError, match="not written any more"):
        identity.save(SAVEDATA)
    assert not (tmp_path / "tox_save").exists()


def test_a_planted_lock_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("mine")
    (tmp_path / "lock").symlink_to(tmp_path / "victim")
    with pytest.raises(ToxvpnError):
        Identity.open(tmp_path)
    assert (tmp_path / "victim").read_text() == "mine"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, for two users")
class TestInAServicesDirectory:
    @pytest.fixture
    def service(self, tmp_path: Path) -> Path:
        (tmp_path / "victim").write_bytes(b"roots")
        directory = tmp_path / "service"
        directory.mkdir()
        os.chown(directory, 54321, 54321)
        return directory

    def test_roots_lock_is_the_services(self, service: Path) -> None:
        Identity.open(service).close()
        assert (service / "lock").stat().st_uid == 54321

    @pytest.mark.parametrize("plant", ["link", "hard link", "fifo"])
    def test_what_is_in_the_locks_place_is_neither_given_away_nor_emptied(
        self, service: Path, plant: str
    ) -> None:
        victim = service.parent / "victim"
        lock = service / "lock"
        match plant:
            case "link":
                lock.symlink_to(victim)
            case "hard link":
                lock.hardlink_to(victim)
            case "fifo":
                os.mkfifo(lock)
        with pytest.raises(ConfigError):
            Identity.open(service)
        assert victim.stat().st_uid == 0 and victim.read_bytes() == b"roots"

    def test_a_lock_that_is_there_stays_whose_it_is(self, service: Path) -> None:
        (service / "lock").touch()
        Identity.open(service).close()
        assert (service / "lock").stat().st_uid == 0
