import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from toxvpn.errors import ConfigError, NoPermissionError, ToxvpnError
from toxvpn.state.files import explain, read_given, read_private, read_record, write_atomic

SERVICE = 54321  # a user who is nobody


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_what_is_written_is_private_and_reads_back(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        write_atomic(tmp_path / "f", b"one")
        write_atomic(tmp_path / "f", b"two")
    finally:
        os.umask(before)
    assert read_private(tmp_path / "f") == b"two"
    assert mode(tmp_path / "f") == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["f"]


def test_no_umask_closes_the_file_to_its_owner(tmp_path: Path) -> None:
    before = os.umask(0o777)
    try:
        write_atomic(tmp_path / "f", b"x")
    finally:
        os.umask(before)
    assert mode(tmp_path / "f") == 0o600


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "f").symlink_to(tmp_path / "elsewhere" / "real")
    write_atomic(tmp_path / "f", b"x")
    assert (tmp_path / "f").is_symlink()
    assert (tmp_path / "elsewhere" / "real").read_bytes() == b"x"


@pytest.mark.parametrize("step", ["os.fsync", "os.replace"])
def test_a_failed_write_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    write_atomic(tmp_path / "f", b"old")

    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(step, fail)
    with pytest.raises(ToxvpnError, match=r"cannot write .*No space left"):
        write_atomic(tmp_path / "f", b"new")
    assert (tmp_path / "f").read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["f"]


KILLED_WRITER = """
import os, sys
from pathlib import Path
from toxvpn.state.files import write_atomic
path = Path(sys.argv[1])
print("ready", flush=True)
for number in range(10_000):
    write_atomic(path, bytes([number % 256]) * 50_000)
"""


def test_a_killed_writer_leaves_a_whole_file(tmp_path: Path) -> None:
    write_atomic(tmp_path / "f", b"\0" * 50_000)
    with subprocess.Popen(
        [sys.executable, "-c", KILLED_WRITER, tmp_path / "f"], stdout=subprocess.PIPE
    ) as writer:
        assert writer.stdout is not None
        writer.stdout.readline()
        for _ in range(20):
            assert_whole(tmp_path / "f")
        writer.send_signal(signal.SIGKILL)
        writer.wait(10)
    assert_whole(tmp_path / "f")
    write_atomic(tmp_path / "f", b"after")  # what the killed one left is no obstacle
    assert [path.name for path in tmp_path.iterdir()] == ["f"]


def assert_whole(path: Path) -> None:
    content = path.read_bytes()
    assert len(content) == 50_000
    assert len(set(content)) == 1


def test_a_planted_temporary_file_is_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "victim").write_bytes(b"mine")
    (tmp_path / ".f.new").symlink_to(tmp_path / "victim")
    write_atomic(tmp_path / "f", b"x")
    assert (tmp_path / "victim").read_bytes() == b"mine"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, for two users")
def test_what_root_writes_among_a_services_files_is_the_services(tmp_path: Path) -> None:
    os.chown(tmp_path, SERVICE, SERVICE + 1)
    write_atomic(tmp_path / "f", b"x")
    write_atomic(tmp_path / "f", b"y")
    found = (tmp_path / "f").stat()
    assert (found.st_uid, found.st_gid, mode(tmp_path / "f")) == (SERVICE, SERVICE + 1, 0o600)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, for two users")
def test_root_does_not_follow_a_link_that_a_service_has_put_there(tmp_path: Path) -> None:
    (tmp_path / "victim").write_bytes(b"mine")
    service = tmp_path / "service"
    service.mkdir()
    (service / "f").symlink_to(tmp_path / "victim")
    for path in (service, service / "f"):
        os.chown(path, SERVICE, SERVICE, follow_symlinks=False)
    write_atomic(service / "f", b"x")
    assert (tmp_path / "victim").read_bytes() == b"mine"
    assert (service / "f").read_bytes() == b"x" and not (service / "f").is_symlink()


def test_a_file_open_to_others_is_tightened_and_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"x")
    path.chmod(0o644)
    assert read_private(path) == b"x"
    assert mode(path) == 0o600
    assert "mode 644" in caplog.text
    caplog.clear()
    read_private(path)
    assert not caplog.text


def test_an_absent_file_is_none(tmp_path: Path) -> None:
    assert read_private(tmp_path / "f") is None


def test_a_directory_in_its_place_is_an_error_with_advice(tmp_path: Path) -> None:
    (tmp_path / "f").mkdir()
    with pytest.raises(ConfigError, match="move it away"):
        read_private(tmp_path / "f")


def test_permission_errors_name_the_owner(tmp_path: Path) -> None:
    error = explain(PermissionError(13, "Permission denied"), Path("/etc/shadow"), "read")
    assert isinstance(error, NoPermissionError)
    advice = (
        "make /etc/shadow writable" if os.geteuid() == 0 else "/etc/shadow belongs to root: run as that user"
    )
    assert str(error).startswith(f"cannot read /etc/shadow: Permission denied; {advice}, or choose")


# -- in a directory of somebody else's ----------------------------------------------------------------

LED_ASTRAY = r"link, which is not followed|hard link in a directory"
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, for two users")


@pytest.fixture
def service(tmp_path: Path) -> Path:
    """A service's directory, beside a file of root's that it wants to lead root to: 0644, as /etc/passwd."""
    (tmp_path / "victim").write_bytes(b"roots")
    (tmp_path / "victim").chmod(0o644)
    directory = tmp_path / "service"
    directory.mkdir()
    os.chown(directory, SERVICE, SERVICE)
    return directory


def assert_unharmed(service: Path) -> None:
    victim = service.parent / "victim"
    found = victim.stat()
    assert victim.read_bytes() == b"roots"
    assert (found.st_uid, mode(victim)) == (0, 0o644)


@as_root
@pytest.mark.parametrize("plant", ["link", "hard link"])
def test_root_neither_reads_nor_changes_what_a_service_leads_it_to(service: Path, plant: str) -> None:
    path = service / "f"
    path.symlink_to(service.parent / "victim") if plant == "link" else path.hardlink_to(
        service.parent / "victim"
    )
    with pytest.raises(ConfigError, match=LED_ASTRAY):
        read_private(path)
    with pytest.raises(ConfigError, match=LED_ASTRAY):
        read_record(path, bytes.decode, "", "of no consequence")
    with pytest.raises(ConfigError, match=LED_ASTRAY):
        read_given(path)
    assert_unharmed(service)
    write_atomic(path, b"new")
    assert path.read_bytes() == b"new"
    assert_unharmed(service)


@as_root
def test_root_uses_a_services_own_files_and_its_own_there(service: Path) -> None:
    (service / "f").write_bytes(b"x")
    (service / "f").chmod(0o644)
    for owner in (0, SERVICE):
        os.chown(service / "f", owner, owner)
        assert read_private(service / "f") == b"x"
        assert read_given(service / "f") == b"x"
    assert mode(service / "f") == 0o600


@as_root
def test_a_third_users_file_is_none_of_a_service(service: Path) -> None:
    (service / "f").write_bytes(b"x")
    os.chown(service / "f", SERVICE + 1, SERVICE + 1)
    with pytest.raises(ConfigError, match="owned by another user than its directory"):
        read_private(service / "f")


@pytest.mark.parametrize("owner", [os.geteuid(), pytest.param(SERVICE, marks=as_root)])
def test_nobody_waits_at_a_pipe(tmp_path: Path, owner: int) -> None:
    os.mkfifo(tmp_path / "f")
    os.chown(tmp_path / "f", owner, -1)
    os.chown(tmp_path, owner, -1)
    with pytest.raises(ConfigError, match="is not a regular file; move it away"):
        read_private(tmp_path / "f")
    if owner == SERVICE:
        with pytest.raises(ConfigError, match="is not a regular file; move it away"):
            read_given(tmp_path / "f")


def test_a_person_may_name_a_pipe_or_a_link_of_their_own(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.write(writer, b"piped")
    os.close(writer)
    assert read_given(Path(f"/dev/fd/{reader}")) == b"piped"
    os.close(reader)
    (tmp_path / "real").write_bytes(b"linked")
    (tmp_path / "f").symlink_to("real")
    assert read_given(tmp_path / "f") == b"linked"
