"""The entry point: runs a command line, and turns an error into one line on stderr and an exit code.

Exit codes: errors.py. Only -d shows a traceback.
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
    """Runs the program `toxvpn`; does not return."""
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))


def run(arguments: Sequence[str]) -> int:
    """Returns the exit code of `toxvpn ARGUMENTS`."""
    settings = Settings()
    try:
        result: Any = root.main(list(arguments), prog_name="toxvpn", standalone_mode=False, obj=settings)
    except Exception as error:
        return handle(error, settings)
    except KeyboardInterrupt:
        return INTERRUPTED
    return result if isinstance(result, int) else 0


def handle(error: Exception, settings: Settings) -> int:
    """Prints the error as one line; returns its exit code."""
    cause = innermost(error)
    if isinstance(cause, click.Abort):  # Ctrl-C, as click reports it
        return INTERRUPTED
    if settings.debug and not isinstance(cause, UsageError | click.ClickException):
        traceback.print_exception(error)
    if isinstance(cause, ToxvpnError):
        if str(cause):  # else there is nobody to tell
            print_error(str(cause))
        return cause.exit_code
    if isinstance(cause, click.ClickException):
        print_error(describe(cause))
        return UsageError.exit_code
    if isinstance(cause, ImportError) and ("libtoxcore" in str(cause) or "toxvpn._native" in str(cause)):
        print_error(f"a compiled part is missing: {cause}; {HOW_TO_INSTALL}")
        return ToxvpnError.exit_code
    print_error(
        f"this is a bug in toxvpn, please report it with the output of -d: {type(cause).__name__}: {cause}"
    )
    return ToxvpnError.exit_code


def describe(error: click.ClickException) -> str:
    """click's message in the form that ours have, and where the options are listed."""
    message = error.format_message().removesuffix(".")
    context = error.ctx if isinstance(error, click.UsageError) else None
    command = "toxvpn" if context is None else context.command_path
    return f"{message[:1].lower()}{message[1:]} (see {command} -h)"


def innermost(error: Exception) -> Exception:
    """The error to report: of those that a task group wraps, one of ours first."""
    while isinstance(error, ExceptionGroup):
        ours, _ = error.split(ToxvpnError)
        error = (ours or error).exceptions[0]
    return error


def print_error(message: str) -> None:
    logs.print_error(" ".join(message.split()))
