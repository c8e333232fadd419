"""A machine of a lab, on which shell commands are run as root, and the five that a demonstration has."""

import json
import shlex
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

T = TypeVar("T")

PATIENCE_S = 600.0  # emulated machines on a busy computer are slow


class DemoError(Exception):
    """A step went wrong. The text has the program's own output."""


class Machine(ABC):
    """Commands run in a directory of the demonstrations' own, with the toxvpn of the lab in their PATH."""

    def __init__(self, name: str, repository: str) -> None:
        self.name = name
        self.provision = f"{repository}/lab/provision"  # there, on the machine

    @abstractmethod
    def run(self, command: str, *, input: str = "", timeout_s: float = PATIENCE_S) -> str:
        """Run a shell command to its end and return what it wrote to stdout. Raises DemoError if it fails."""

    def succeeds(self, command: str, timeout_s: float = PATIENCE_S) -> bool:
        try:
            self.run(command, timeout_s=timeout_s)
        except DemoError:
            return False
        return True

    @contextmanager
    def running(self, name: str, command: str) -> Iterator["Program"]:
        """Have a program run in the background; its output is in NAME.log."""
        program = Program(self, name, command)
        try:
            yield program
        finally:
            program.stop()

    def status(self) -> dict[str, Any]:
        """The running toxvpn's, as in `toxvpn status --json`."""
        document: dict[str, Any] = json.loads(self.run("toxvpn status --json"))
        return document


class Program:
    """A program in the background of a machine."""

    def __init__(self, machine: Machine, name: str, command: str) -> None:
        self._machine = machine
        self._log = f"{name}.log"
        self._pid = machine.run(f"setsid {command} >{self._log} 2>&1 </dev/null & echo $!").strip()

    def log(self) -> str:
        return self._machine.run(f"cat {self._log}")

    def wait_listening(self, port: int) -> None:
        """Wait until somebody listens on this TCP port of its machine."""
        listening = lambda: self._machine.succeeds(f"ss -Htln sport {port} | grep -q .")  # noqa: E731
        try:
            wait_for(listening, f"listener on port {port}", PATIENCE_S)
        except DemoError as error:
            raise DemoError(f"{error}\n{self.log()}") from None

    def kill(self) -> None:
        self._machine.run(f"kill -KILL {self._pid}")

    def stop(self) -> None:
        self._machine.run(
            f"kill {self._pid} 2>/dev/null; while kill -0 {self._pid} 2>/dev/null; do sleep 0.1; done"
        )


@dataclass(frozen=True)
class Scene:
    """A lab's machines: the hosts, the NAT router before each, and somebody on the internet."""

    server: Machine
    laptop: Machine
    server_nat: Machine
    laptop_nat: Machine
    internet: Machine

    @property
    def machines(self) -> tuple[Machine, ...]:
        return self.server, self.laptop, self.server_nat, self.laptop_nat, self.internet


def copy_file(name: str, source: Machine, destination: Machine) -> None:
    """Take a small file from one machine to another by the lab's own means, not over its network."""
    destination.run(f"umask 077; cat >{shlex.quote(name)}", input=source.run(f"cat {shlex.quote(name)}"))


def wait_for(condition: Callable[[], T | None], what: str, timeout_s: float) -> T:
    """Ask until the answer is true, and return it."""
    deadline_s = time.monotonic() + timeout_s
    while not (result := condition()):
        if time.monotonic() > deadline_s:
            raise DemoError(f"no {what} within {timeout_s:g} s")
        time.sleep(0.3)
    return result
