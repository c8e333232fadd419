"""The pidfile: whose it is, when it is stale, and what it must not overwrite."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from toxvpn.errors import ConfigError, NoPermissionError, ToxvpnError
from toxvpn.process.pidfile import PidFile
from toxvpn.state.folder import Folder
from toxvpn.testing.netns import fork


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "toxvpn.pid"


def test_it_holds_our_id_and_goes_with_us(path: Path) -> None:
    with PidFile(path) as pid_file:
        pid_file.write()
        assert path.read_text() == f"{os.getpid()}\n"
        assert path.stat().st_mode & 0o777 == 0o644
    assert not path.exists()


def test_a_second_one_is_refused_and_told_of_the_first(path: Path) -> None:
    with PidFile(path) as first:
        first.write()
        with pytest.raises(ToxvpnError, match=f"a toxvpn that is running, process {os.getpid()}: stop it"):
            PidFile(path)
        assert path.read_text() == f"{os.getpid()}\n"


@pytest.mark.parametrize(
    "content",
    ["", "1\n", "4194304", f"{os.getpid()}\n"],
    ids=["empty", "init", "nobody", "ourselves"],
)
def test_a_file_that_nobody_holds_is_taken_over(path: Path, content: str) -> None:
    path.write_text(content)  # whoever has that number now: it is not a toxvpn that holds the file
    with PidFile(path) as pid_file:
        pid_file.write()
        assert path.read_text() == f"{os.getpid()}\n"


HOLDER = """
import sys
from pathlib import Path
from toxvpn.process.pidfile import PidFile
PidFile(Path(sys.argv[1])).write()
print(flush=True)
sys.stdin.read()
"""


def test_that_of_a_killed_daemon_is_stale_at_once(path: Path) -> None:
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", HOLDER, path], stdin=pipe, stdout=pipe) as holder:
        assert holder.stdout
        holder.stdout.readline()
        with pytest.raises(ToxvpnError, match=f"process {holder.pid}:"):
            PidFile(path)
        holder.send_signal(signal.SIGKILL)
    assert path.read_text() == f"{holder.pid}\n"
    PidFile(path).close()


def test_a_child_process_goes_on_holding_it(path: Path) -> None:
    pid_file = PidFile(path)
    reader, writer = os.pipe()
    child = fork()
    if child == 0:
        os.close(writer)
        os.read(reader, 1)
        os._exit(0)
    os.close(reader)
    pid_file.leave()
    with pytest.raises(ToxvpnError, match="a toxvpn that is running"):
        PidFile(path)
    os.close(writer)
    os.waitpid(child, 0)
    PidFile(path).close()


@pytest.mark.parametrize("content", ["root:x:0:0:root:/root:/bin/bash\n", "1" * 40, "12 34"])
def test_a_file_that_is_something_else_is_left_alone(path: Path, content: str) -> None:
    path.write_text(content)
    with pytest.raises(ConfigError, match="is not a pidfile: choose another file"):
        PidFile(path)
    assert path.read_text() == content
    path.write_text("1")
    PidFile(path).close()  # the lock was given back


def test_what_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(ConfigError, match="not a regular file"):
        PidFile(tmp_path / "fifo")
    with pytest.raises(ConfigError, match="Is a directory"):
        PidFile(tmp_path)
    with pytest.raises(ToxvpnError, match=r"cannot write .*/none/pid: No such file or directory"):
        PidFile(tmp_path / "none" / "pid")


def test_one_that_was_replaced_meanwhile_is_not_believed(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its owner removes it between our opening it and our locking it."""
    path.write_text("1")
    opened = []
    really = Folder.open_or_make

    def open_(folder: Folder, name: str, mode: int) -> tuple[int, bool]:
        descriptor = really(folder, name, mode)
        opened.append(descriptor)
        if len(opened) == 1:
            path.unlink()
        return descriptor

    monkeypatch.setattr(Folder, "open_or_make", open_)
    with PidFile(path) as pid_file:
        pid_file.write()
        assert path.read_text() == f"{os.getpid()}\n"
    assert len(opened) == 2


def test_in_a_directory_that_is_not_ours_any_more_it_is_emptied(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pid_file = PidFile(path)
    pid_file.write()

    def unlink(self: Path, missing_ok: bool = False) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "unlink", unlink)
    pid_file.close()
    assert path.read_text() == ""


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become somebody else")
def test_a_place_that_is_not_ours() -> None:
    child = fork()
    if child == 0:
        os.setresuid(65534, 65534, 65534)
        try:
            PidFile(Path("/etc/toxvpn-test.pid"))
        except NoPermissionError as error:
            os._exit(42 if "cannot write /etc/toxvpn-test.pid: Permission denied" in str(error) else 43)
        finally:
            os._exit(44)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 42


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, for two users")
def test_it_stays_roots_who_signals_what_it_names(tmp_path: Path) -> None:
    os.chown(tmp_path, 54321, 54321)
    with PidFile(tmp_path / "pid"):
        assert (tmp_path / "pid").stat().st_uid == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, for two users")
def test_a_second_name_of_a_file_of_roots_is_not_overwritten(tmp_path: Path) -> None:
    """One that would pass for a pidfile."""
    (tmp_path / "victim").write_text("42\n")
    service = tmp_path / "service"
    service.mkdir()
    (service / "pid").hardlink_to(tmp_path / "victim")
    os.chown(service, 54321, 54321)
    with pytest.raises(ConfigError, match="a hard link in a directory"):
        PidFile(service / "pid")
    assert (tmp_path / "victim").read_text() == "42\n"


def test_what_came_into_its_place_stays(path: Path) -> None:
    with PidFile(path):
        path.unlink()
        path.write_text("somebody else's")
    assert path.read_text() == "somebody else's"
