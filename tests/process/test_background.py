"""Going into the background: who waits how long, what is let go of, and what the exit code is."""

import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

pytestmark = pytest.mark.real

TIMEOUT_S = 30.0

# What a run does meanwhile is told by the words on its command line, one after the other.
PROGRAM = """
import os, signal, socket, sys
from toxvpn.process.background import in_background
from toxvpn.errors import ToxvpnError

def meet(path):
    with socket.socket(socket.AF_UNIX) as test:
        test.connect(path)
        test.sendall(f"{os.getpid()} {os.getsid(0)} {os.getcwd()}".encode())
        test.recv(1)

def work(ready):
    for word in sys.argv[1:]:
        match word.partition("=")[::2]:
            case "say", text: print(text, flush=True); print(text, file=sys.stderr, flush=True)
            case "ready", _: ready()
            case "end", code: return int(code)
            case "raise", text: raise ToxvpnError(text)
            case "kill", number: os.kill(os.getpid(), int(number))
            case "meet", path: meet(path)
    return 0

try:
    sys.exit(in_background(work))
except ToxvpnError as error:
    print("error:", error, file=sys.stderr)
    sys.exit(42)
except KeyboardInterrupt:
    sys.exit(130)
"""


@dataclass
class Meeting:
    """Where the child says who it is, and waits until it is let go."""

    listener: socket.socket

    @property
    def word(self) -> str:
        return f"meet={self.listener.getsockname()}"

    def __enter__(self) -> list[str]:
        self._connection, _ = self.listener.accept()
        self._connection.settimeout(TIMEOUT_S)
        return self._connection.recv(1000).decode().split()

    def __exit__(self, *exception: object) -> None:
        self._connection.close()


@pytest.fixture
def meeting(tmp_path: Path) -> Iterator[Meeting]:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.settimeout(TIMEOUT_S)
        listener.bind(str(tmp_path / "meeting"))
        listener.listen()
        yield Meeting(listener)


def program(*words: str, **how: object) -> "subprocess.Popen[str]":
    pipe = subprocess.PIPE
    argv = [sys.executable, "-c", PROGRAM, *words]
    return subprocess.Popen(argv, stdout=pipe, stderr=pipe, text=True, **how)  # type: ignore[call-overload,no-any-return]


def ended(pid: int) -> bool:
    """Whether the process ends in time; who reaps it then is not our business."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([fd], [], [], TIMEOUT_S)[0])
    finally:
        os.close(fd)


def ran(*words: str) -> tuple[int, str, str]:
    with program(*words) as process:
        out, err = process.communicate(timeout=TIMEOUT_S)
    return process.returncode, out, err


def test_the_starter_ends_once_the_child_serves_and_no_pipe_is_kept_open(meeting: Meeting) -> None:
    """`$(toxvpn -z)` waits for the end of stdout, which the child must have let go of."""
    assert ran("say=id", "ready", "say=late", meeting.word) == (0, "id\n", "id\n")
    with meeting:
        pass


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("end=78",), (78, "", "")),
        (("raise=no port",), (42, "", "error: no port\n")),
        (("kill=9",), (128 + 9, "", "")),
        (("kill=15",), (128 + 15, "", "")),
        (("end=0",), (0, "", "")),  # it has done all there was
    ],
)
def test_a_child_that_ends_before_that_gives_its_exit_code_and_its_words(
    words: tuple[str, ...], expected: tuple[int, str, str]
) -> None:
    assert ran(*words) == expected


def test_the_child_has_a_session_and_a_directory_of_its_own(meeting: Meeting, tmp_path: Path) -> None:
    with program("ready", meeting.word, cwd=tmp_path) as process, meeting as (pid, session, directory):
        assert pid == session != str(process.pid)
        assert directory == "/"
        assert process.wait(TIMEOUT_S) == 0


def test_what_the_shell_had_open_is_closed(meeting: Meeting, tmp_path: Path) -> None:
    with (
        tmp_path.joinpath("lock").open("w") as lock,
        program(meeting.word, pass_fds=[lock.fileno()]),
        meeting as (pid, *_),
    ):
        links = [link.readlink() for link in Path(f"/proc/{pid}/fd").iterdir()]
        assert Path(lock.name) not in links and links


def test_a_starter_that_is_interrupted_takes_the_child_with_it(meeting: Meeting) -> None:
    with program(meeting.word) as process, meeting as (child, *_):
        process.send_signal(signal.SIGINT)
        assert process.wait(TIMEOUT_S) == 130
        assert ended(int(child))


def test_a_child_whose_starter_was_killed_does_not_go_on_unseen(meeting: Meeting) -> None:
    with program(meeting.word, "ready", "say=never") as process:
        with meeting:
            process.kill()
            process.wait()
        assert process.stderr and process.stderr.read() == (
            "error: the process that started this one has ended, so this one stops too\n"
        )
