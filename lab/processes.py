"""The processes of a lab: started inside namespaces, stopped kindly, and found again when left behind.

Each one carries the name of its namespace in its environment (TOXVPN_LAB=<lab>-<host>), and so do its
descendants, also when they daemonize or move on to namespaces of their own. Whoever carries such a name or
lives in such a namespace belongs to the lab; nobody else is ever signalled.

A scope is the name of a lab (all of its hosts) or of one host's namespace.
"""

import contextlib
import logging
import os
import pwd
import re
import select
import signal
import stat
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

from .namespace import NETNS_DIRECTORY, Namespace

log = logging.getLogger("lab")

MARK = "TOXVPN_LAB"
GRACE_S = 5.0
REPOSITORY = Path(__file__).resolve().parents[1]
PROVISION = REPOSITORY / "lab/provision"  # the scripts that the virtual machines run too

Output = int | IO[bytes] | None
Arguments = Sequence[str | os.PathLike[str]]


class Processes:
    """Everything one lab has started."""

    def __init__(self) -> None:
        self._started: dict[subprocess.Popen[bytes], str] = {}

    def start(
        self,
        namespace: Namespace,
        argv: Arguments,
        *,
        user: str | None = None,
        env: Mapping[str, str] | None = None,
        cwd: str | os.PathLike[str] | None = None,
        stdin: Output = subprocess.DEVNULL,
        stdout: Output = None,
        stderr: Output = None,
        pass_fds: Sequence[int] = (),
        resolver: Path | None = None,
    ) -> subprocess.Popen[bytes]:
        """See Host.popen."""
        environment = {**os.environ, **(env or {}), MARK: namespace.name}
        if user:
            argv = [*as_user(user), *argv]
            account = pwd.getpwnam(user)
            environment |= {"HOME": account.pw_dir, "USER": account.pw_name, "LOGNAME": account.pw_name}
        if resolver:
            argv = with_resolver(resolver, argv)
        process = namespace.call(
            subprocess.Popen,
            argv,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            cwd=cwd,
            env=environment,
            pass_fds=pass_fds,
            start_new_session=True,  # a Ctrl-C at the terminal is for the lab's owner, who stops the rest
        )
        self._started[process] = namespace.name
        return process

    def stop(self, *processes: subprocess.Popen[bytes], grace_s: float = GRACE_S) -> None:
        """SIGTERM to all, SIGKILL to those still there after `grace_s`; reaps them and closes their pipes."""
        for process in processes:
            process.terminate()
        deadline = time.monotonic() + grace_s
        for process in processes:
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                log.warning("%s did not end on SIGTERM within %g s: killed", process.args, grace_s)
                process.kill()
                process.wait()
            for pipe in (process.stdin, process.stdout, process.stderr):
                if pipe:
                    with contextlib.suppress(OSError):  # unwritten bytes for a reader that has gone
                        pipe.close()
            self._started.pop(process, None)

    def stop_all(self, scope: str) -> None:
        self.stop(*(process for process, name in self._started.items() if _within(name, scope)))


def as_user(name: str, *capabilities: str) -> list[str]:
    """The words to put before a command line so that this user runs it, with these capabilities.

    The user sees this repository even if it is below a folder that others may not enter.
    """
    account = pwd.getpwnam(name)
    become = ["setpriv", f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--clear-groups"]
    if capabilities:
        kept = ",".join(["-all", *(f"+{capability}" for capability in capabilities)])
        become += [f"--{which}={kept}" for which in ("inh-caps", "ambient-caps", "bounding-set")]
    hidden = _hidden_folder(REPOSITORY)
    return [*(_showing(REPOSITORY, hidden) if hidden else []), *become, "--"]


def with_resolver(resolver: Path, argv: Arguments) -> Arguments:
    """The command line with that file for its /etc/resolv.conf, in a mount namespace; needs root."""
    script = 'mount --bind "$1" /etc/resolv.conf && shift && exec "$@"'
    return ["unshare", "--mount", "sh", "-c", script, "sh", str(resolver), *argv]


def erase(scope: str) -> None:
    """End all processes of the scope and remove its namespaces, with their interfaces.

    Whatever is already gone is no reason to stop.
    """
    names = [path.name for path in NETNS_DIRECTORY.glob(f"{scope}*")]
    namespaces = [Namespace(name) for name in names if _within(name, scope)]
    _kill_all(scope, _inodes(namespaces))
    for namespace in namespaces:
        namespace.remove()


def _hidden_folder(path: Path) -> Path | None:
    """The outermost folder around `path` that only its owner may enter, as a home directory."""
    folders = reversed(path.parents)
    return next((folder for folder in folders if not folder.stat().st_mode & stat.S_IXOTH), None)


def _showing(path: Path, hidden: Path) -> list[str]:
    """A prefix that runs a program in a mount namespace of its own, with nothing in `hidden` but `path`."""
    script = """
        mount --bind "$1" /mnt && mount -t tmpfs -o mode=755 none "$2" &&
        mkdir -p "$1" && mount --move /mnt "$1" && shift 2 && exec "$@" """
    return ["unshare", "--mount", "sh", "-c", script, "sh", str(path), str(hidden)]


def _within(name: str, scope: str) -> bool:
    return name == scope or name.startswith(f"{scope}-")


def _inodes(namespaces: Sequence[Namespace]) -> set[tuple[int, int]]:
    found = set()
    for namespace in namespaces:
        with contextlib.suppress(FileNotFoundError):
            status = namespace.path.stat()
            found.add((status.st_dev, status.st_ino))
    own = Path("/proc/self/ns/net").stat()
    return found - {(own.st_dev, own.st_ino)}


def _kill_all(scope: str, inodes: set[tuple[int, int]], timeout_s: float = 5.0) -> None:
    deadline = time.monotonic() + timeout_s
    while pids := [pid for pid in _other_pids() if _belongs(pid, scope, inodes)]:
        for pid in pids:
            _kill(pid, scope, inodes, deadline)
        if time.monotonic() > deadline:
            log.warning("processes %s of %s do not end", pids, scope)
            return


def _other_pids() -> Iterator[int]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            yield int(entry.name)


def _belongs(pid: int, scope: str, inodes: set[tuple[int, int]]) -> bool:
    process = Path("/proc", str(pid))
    try:
        environment = process.joinpath("environ").read_bytes()
        status = process.joinpath("ns/net").stat()
    except OSError:  # it has ended, or is a kernel thread
        return False
    mark = re.search(rf"(?:^|\0){MARK}=([^\0]*)".encode(), environment)
    return bool(mark and _within(mark[1].decode(), scope)) or (status.st_dev, status.st_ino) in inodes


def _kill(pid: int, scope: str, inodes: set[tuple[int, int]], deadline: float) -> None:
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        if _belongs(pid, scope, inodes):  # asked again, as the number may be somebody else's by now
            signal.pidfd_send_signal(handle, signal.SIGKILL)
            select.select([handle], [], [], max(0.0, deadline - time.monotonic()))
    except ProcessLookupError:
        pass
    finally:
        os.close(handle)
