"""The process that ends pasta: when the socket to who started it closes.

It stays as long as a run, so nothing large is imported here (tests/test_loaded.py).
"""

import contextlib
import json
import os
import select
import signal
import socket
import subprocess

MESSAGE_BYTES = 4096


def main(control_fd: int) -> None:
    """Runs the command that is sent to it until the socket closes; sends the last line of its errors."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # it ends with who started it, not before
    with socket.socket(fileno=control_fd) as control:
        command = control.recv(MESSAGE_BYTES)
        if not command:
            return
        program = subprocess.Popen(json.loads(command), stderr=subprocess.PIPE)
        assert program.stderr is not None
        lines = b""
        while True:
            ready, _, _ = select.select([control.fileno(), program.stderr.fileno()], [], [])
            if control.fileno() in ready:
                break
            if not (more := os.read(program.stderr.fileno(), MESSAGE_BYTES)):  # it has ended
                break
            lines = (lines + more)[-MESSAGE_BYTES:]
        program.terminate()
        program.wait()
        with contextlib.suppress(OSError):
            control.send((lines.strip().splitlines() or [b"nothing"])[-1])
