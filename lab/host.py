"""A machine in the lab: a namespace, the cable it is connected by, and the programs that run on it."""

import os
import re
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from socket import AF_INET, SOCK_STREAM, create_connection
from socket import socket as Socket  # noqa: N812 - Host.socket makes one
from typing import ParamSpec, TypeVar

from .cable import Cable
from .errors import LabError
from .namespace import Counters, Namespace
from .processes import GRACE_S, Arguments, Output, Processes

P = ParamSpec("P")
R = TypeVar("R")


class Host:
    """Made by Lab.host and Nat.host. `ipv4` and `ipv6` are the addresses others reach it at."""

    def __init__(self, name: str, namespace: Namespace, processes: Processes, directory: Path) -> None:
        self.name = name
        self.namespace = namespace
        self.directory = directory  # for files of the host's programs; removed with the host
        self.ipv4: str | None = None
        self.ipv6: str | None = None
        self.uplink: Cable | None = None
        self.interface = ""  # this end of the uplink
        self.resolver: Path | None = None  # its /etc/resolv.conf; None: the machine's
        self._processes = processes

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.namespace.name} {self.ipv4 or self.ipv6 or ''}>"

    # programs and sockets

    def popen(
        self,
        argv: Arguments,
        *,
        user: str | None = None,
        env: Mapping[str, str] | None = None,
        cwd: str | os.PathLike[str] | None = None,
        stdin: Output = subprocess.DEVNULL,
        stdout: Output = None,
        stderr: Output = None,
    ) -> subprocess.Popen[bytes]:
        """Start a program here, as `user` (with that user's groups and no capabilities) if given.

        `env` is added to the caller's environment. The lab stops the program at its end at the latest.
        """
        return self._processes.start(
            self.namespace,
            argv,
            user=user,
            env=env,
            cwd=cwd,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            resolver=self.resolver,
        )

    def run(
        self,
        argv: Arguments,
        *,
        input: str | None = None,
        user: str | None = None,
        env: Mapping[str, str] | None = None,
        cwd: str | os.PathLike[str] | None = None,
        timeout_s: float = 30.0,
        check: bool = True,
    ) -> subprocess.CompletedProcess[str]:
        """Run a program here to its end and return what it printed.

        Raises LabError, with all that it printed, when it fails (unless `check` is false) or takes too long.
        """
        pipe = subprocess.PIPE
        process = self.popen(
            argv,
            user=user,
            env=env,
            cwd=cwd,
            stdin=pipe if input else subprocess.DEVNULL,
            stdout=pipe,
            stderr=pipe,
        )
        try:
            out, err = process.communicate(input.encode() if input else None, timeout_s)
        except subprocess.TimeoutExpired as error:
            printed = (error.stdout or b"") + (error.stderr or b"")
            raise LabError(f"{argv} on {self.name} took over {timeout_s:g} s:\n{printed.decode()}") from None
        finally:
            self.stop(process)
        if check and process.returncode:
            printed = out + err
            raise LabError(f"{argv} on {self.name} ended with {process.returncode}:\n{printed.decode()}")
        return subprocess.CompletedProcess(process.args, process.returncode, out.decode(), err.decode())

    def stop(self, *processes: subprocess.Popen[bytes], grace_s: float = GRACE_S) -> None:
        """End programs: SIGTERM, and SIGKILL to those still there after `grace_s`; closes their pipes."""
        self._processes.stop(*processes, grace_s=grace_s)

    def call(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Run a Python function as if on this host (in a thread of its own); sockets it makes stay here."""
        return self.namespace.call(function, *args, **kwargs)

    def socket(self, family: int = AF_INET, type: int = SOCK_STREAM, proto: int = 0) -> Socket:
        return self.call(Socket, family, type, proto)

    def connect(self, address: str, port: int, timeout_s: float = 10.0) -> Socket:
        """A TCP connection from this host. Raises OSError as socket.create_connection does."""
        return self.call(create_connection, (address, port), timeout_s)

    def ping(self, address: str, count: int = 1, timeout_s: float = 2.0) -> list[float]:
        """Round trip times in ms of the answers that came, up to `timeout_s` after the last was asked for."""
        argv = ["ping", "-n", "-c", str(count), "-i", "0.05", "-W", str(timeout_s), address]
        answers = self.run(argv, check=False, timeout_s=count + timeout_s + 10).stdout
        return [float(ms) for ms in re.findall(r" time=([\d.]+) ms", answers)]

    # its connection, see Cable

    def loss(self, percent: float) -> None:
        self._cable().loss(percent)

    def block_udp(self, blocked: bool = True) -> None:
        self._cable().block_udp(blocked)

    def rate(self, mbit: float | None) -> None:
        self._cable().rate(mbit)

    def down(self) -> None:
        self._cable().down()

    def up(self) -> None:
        self._cable().up()

    def counters(self) -> Counters:
        return self.namespace.counters(self.interface)

    def _cable(self) -> Cable:
        if not self.uplink:
            raise LabError(f"{self.name} is not connected to anything yet")
        return self.uplink
