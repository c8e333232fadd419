"""The command line that starts a process of our own: this interpreter, with our modules and no others."""

import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
"""The directory that the package `toxvpn` is in."""


def command_line(code: str, arguments: Sequence[str]) -> list[str]:
    """Runs `code` with `sys.argv[1:]` starting with `arguments`, and our `sys.path`.

    With -I neither PYTHON* variables nor the current directory count.
    """
    paths = [*filter(None, sys.path), *([] if str(ROOT) in sys.path else [str(ROOT)])]
    start = f"import sys; sys.path[:] = sys.argv[{1 + len(arguments)}:]; {code}"
    return [sys.executable, "-I", "-c", start, *arguments, *paths]
