"""toxvpn as an unprivileged user starts it on a host of the lab, and its log so far."""

import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from pwd import getpwnam

from lab import Host, Lab, LabError, wait_until

TOXVPN = (sys.executable, "-m", "toxvpn")
USER = "nobody"
SECRET = "only for the tests"
WITH_SECRET = {"TOXVPN_SHARED_SECRET": SECRET}
CONNECTING_S = 45.0
ONLINE = r"peer [0-9A-F]{8}: (udp|tcp-relay)"
DIRECT = r"peer [0-9A-F]{8}: udp"


def private_directory(host: Host, name: str) -> Path:
    """A new one among the host's that the unprivileged user may use, and nobody else."""
    directory = host.directory / name
    directory.mkdir(mode=0o700)
    account = getpwnam(USER)
    os.chown(directory, account.pw_uid, account.pw_gid)
    return directory


class Running:
    """A toxvpn that goes on until it is stopped; its stderr is in `log`, its stdout a pipe.

    `program` is how it is started, where that is unusual.
    """

    def __init__(
        self,
        lab: Lab,
        host: Host,
        name: str,
        *arguments: str,
        env: Mapping[str, str],
        program: Sequence[str] = TOXVPN,
    ) -> None:
        self.host = host
        self.log = host.directory / f"{name}.log"
        with self.log.open("wb") as log:
            self.process = host.popen(
                [*program, "-b", str(lab.nodes_json), *arguments],
                user=USER,
                env=env,
                stdout=subprocess.PIPE,
                stderr=log,
            )

    def log_text(self) -> str:
        return self.log.read_text()

    def wait_for(self, pattern: str, timeout_s: float = CONNECTING_S) -> re.Match[str]:
        """Wait until its log has this. Raises LabError, with the whole log, also when it has ended."""

        def condition() -> re.Match[str] | None:
            ended = self.process.poll() is not None
            found = re.search(pattern, self.log_text())
            if ended and not found:
                raise LabError(f"ended with {self.process.returncode}")
            return found

        try:
            return wait_until(condition, repr(pattern), timeout_s)
        except LabError as error:
            raise LabError(f"{self.log.name}: {error}; its log:\n{self.log_text()}") from None

    def kill(self) -> None:
        """Kill it, so that it cannot disconnect properly."""
        self.process.kill()
        self.stop()

    def stop(self) -> None:
        self.host.stop(self.process)


class Server(Running):
    """`toxvpn` alone; it keeps everything in `directory`."""

    _runs = 0

    def __init__(
        self,
        lab: Lab,
        host: Host,
        directory: Path,
        *arguments: str,
        env: Mapping[str, str] | None = None,
        program: Sequence[str] = TOXVPN,
    ) -> None:
        Server._runs += 1  # each run has a log of its own, the directory may be the same
        name = f"{directory.name}-{self._runs}"
        super().__init__(lab, host, name, "-C", str(directory), *arguments, env=env or {}, program=program)
        assert self.process.stdout
        self.tox_id = self.process.stdout.readline().decode().strip()


class Client(Running):
    """`toxvpn -i ID` with forwards, on a node of its own."""

    def __init__(
        self,
        lab: Lab,
        host: Host,
        name: str,
        server: str,
        *arguments: str,
        road: str = "tuntox",
        env: Mapping[str, str] | None = None,
        program: Sequence[str] = TOXVPN,
    ) -> None:
        arguments = ("-i", server, "--no-share", "--road", road, *arguments)
        super().__init__(lab, host, name, *arguments, env=env or {}, program=program)
