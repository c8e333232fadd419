"""Starts processes of our own: this interpreter, with our modules and no others."""

import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
"""The directory that the package `toxvpn` is in."""
# Of the environment a helper gets what an interpreter may need to start, and no secrets.
ENVIRONMENT = ("PATH", "LD_LIBRARY_PATH", "LANG", "LC_ALL")


def command_line(code: str, arguments: Sequence[str], flags: str = "-I") -> list[str]:
    """Runs `code` with `sys.argv[1:]` starting with `arguments`, and our `sys.path`.

    With -I neither PYTHON* variables nor the current directory count; with S, too, `site` is not loaded.
    """
    paths = [*filter(None, sys.path), *([] if str(ROOT) in sys.path else [str(ROOT)])]
    start = f"import sys; sys.path[:] = sys.argv[{1 + len(arguments)}:]; {code}"
    return [sys.executable, flags, "-c", start, *arguments, *paths]


def start_helper(code: str) -> "tuple[socket.socket, subprocess.Popen[bytes]]":
    """Starts a process that runs `code`; returns our end of a SEQPACKET socket to it.

    `sys.argv[1:3]` are there the descriptor of its end, and our process ID. A helper that dies with its
    parent (prctl(2)) dies with the thread that called this. Raises OSError.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        try:
            helper = subprocess.Popen(
                command_line(code, [str(theirs.fileno()), str(os.getpid())], "-IS"),
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,  # -z lets go of the terminal, and so must all that it has started
                env={name: os.environ[name] for name in ENVIRONMENT if name in os.environ},
            )
        except OSError:
            ours.close()
            raise
    return ours, helper
