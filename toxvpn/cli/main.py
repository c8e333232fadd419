"""The front door: runs a command line, turns what went wrong into one line on stderr and an exit code.

Exit codes: errors.py. A traceback is only shown with -d.
"""

import signal
import sys
import traceback
from collections.abc import Sequence
from typing import Any

import click

from ..errors import ToxvpnError, UsageError
from . import logs
from .root import root
from .shared import Settings

HOW_TO_INSTALL = "on Debian or Ubuntu, 'apt install libtoxcore-dev', then 'pip install .' again"
INTERRUPTED = 128 + signal.SIGINT


def main(arguments: Sequence[str] | None = None) -> None:
    """The `toxvpn` program; does not return."""
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))


def run(arguments: Sequence[str]) -> int:
    """The exit code of `toxvpn ARGUMENTS`."""
    settings = Settings()
    try:
        result: Any = root.main(list(arguments), prog_name="toxvpn", standalone_mode=False, obj=settings)
    except Exception as error:
        return report(error, settings)
    except KeyboardInterrupt:
        return INTERRUPTED
    return result if isinstance(result, int) else 0


def report(error: Exception, settings: Settings) -> int:
    """Tells of the error in one line; returns the exit code it means."""
    cause = innermost(error)
    if isinstance(cause, click.Abort):  # how click passes Ctrl-C on
        return INTERRUPTED
    if settings.debug and not isinstance(cause, UsageError | click.ClickException):
        traceback.print_exception(error)
    if isinstance(cause, ToxvpnError):
        say(str(cause))
        return cause.exit_code
    if isinstance(cause, click.ClickException):
        say(cause.format_message() + " (see toxvpn -h)")
        return UsageError.exit_code
    if isinstance(cause, ImportError) and ("libtoxcore" in str(cause) or "toxvpn._native" in str(cause)):
        say(f"a compiled part is missing: {cause}; {HOW_TO_INSTALL}")
        return ToxvpnError.exit_code
    say(f"an error of toxvpn itself, please report it with the output of -d: {type(cause).__name__}: {cause}")
    return ToxvpnError.exit_code


def innermost(error: Exception) -> Exception:
    """The error to tell of: a task group wraps what its tasks raise, ours first."""
    while isinstance(error, ExceptionGroup):
        ours, _ = error.split(ToxvpnError)
        error = (ours or error).exceptions[0]
    return error


def say(message: str) -> None:
    logs.tell_error(" ".join(message.split()))
