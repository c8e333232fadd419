"""A terminal with a program in it: what it prints, and a Ctrl-C."""

import os
import pty
import subprocess
import termios
import threading
import time

from lab import Host, LabError

COLUMNS, ROWS = 120, 40
POLL_S = 0.02
ASKS = ("$ ", "# ")
ASKING_S = 0.5
CTRL_C, CTRL_D = b"\x03", b"\x04"


class Terminal:
    """`argv` runs on the host; setsid(1) makes the terminal its own. `output` grows until it has ended."""

    def __init__(self, host: Host, argv: list[str]) -> None:
        self._master, slave = pty.openpty()
        termios.tcsetwinsize(slave, (ROWS, COLUMNS))
        try:
            self.process: subprocess.Popen[bytes] = host.popen(argv, stdin=slave, stdout=slave, stderr=slave)
        finally:
            os.close(slave)
        self._printed = bytearray()
        self._last_s = time.monotonic()
        self._reader = threading.Thread(target=self._read, name="terminal", daemon=True)
        self._reader.start()

    def _read(self) -> None:
        while True:
            try:
                part = os.read(self._master, 1 << 16)
            except OSError:  # nobody has the other end any more
                break
            if not part:
                break
            self._printed += part
            self._last_s = time.monotonic()
        os.close(self._master)

    @property
    def output(self) -> str:
        return bytes(self._printed).decode(errors="replace")

    @property
    def quiet_s(self) -> float:
        """How long it has printed nothing."""
        return time.monotonic() - self._last_s

    @property
    def ended(self) -> bool:
        return self.process.poll() is not None

    def end(self, timeout_s: float) -> int:
        """Wait for the end and return the exit code; a shell that asks for a command is left by Ctrl-D.

        Raises LabError when it takes longer.
        """
        deadline_s = time.monotonic() + timeout_s
        while not self.ended:
            if time.monotonic() > deadline_s:
                raise LabError(f"it has not ended after {timeout_s:g} s, and printed:\n{self.output}")
            if self.quiet_s > ASKING_S and self.output.endswith(ASKS):
                self.type(CTRL_D)
            time.sleep(POLL_S)
        self._reader.join(0.5)  # what it has left behind may still have the terminal open
        return self.process.wait()

    def type(self, keys: bytes) -> None:
        self._last_s = time.monotonic()
        os.write(self._master, keys)
