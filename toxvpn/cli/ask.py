"""Asks the running toxvpn, or opens what it keeps on disk when none is running.

It imports little, so that a command that only asks starts quickly.
"""

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ..control.client import ANSWER_S, ControlClient
from ..errors import NotRunningError, ToxvpnError
from ..state.places import SERVICE_RUNTIME
from .shared import Settings

if TYPE_CHECKING:
    from ..members.members import Members

T = TypeVar("T")

STARTING_S = 3.0
"""How long to wait for a daemon that has locked the identity to open its control socket."""
LOOK_AGAIN_S = 0.1


def connect(settings: Settings) -> ControlClient:
    """Connect to the running toxvpn. Raises NotRunningError, NoPermissionError."""
    try:
        return ControlClient(settings.places.runtime)
    except NotRunningError as error:
        if settings.directory is None and os.geteuid() != 0 and SERVICE_RUNTIME.exists():
            raise NotRunningError(f"{error}; the system service may be running: try sudo") from None
        raise


def ask(settings: Settings, do: str, *, answer_s: float | None = ANSWER_S, **arguments: object) -> Any:
    """Send one request to the running toxvpn. Raises its error, NotRunningError, NoPermissionError."""
    with connect(settings) as client:
        return client.call(do, answer_s=answer_s, **arguments)


def running_or_not(settings: Settings, *, online: Callable[[], T], offline: Callable[[], T]) -> T:
    """The result of `online`, or of `offline`, which locks the identity, when toxvpn is not running.

    A shared node that no command uses any more counts as not running, and is ended.
    """
    from ..control.giveway import gives_way
    from ..state.identity import IdentityInUseError

    deadline = time.monotonic() + STARTING_S
    while True:
        try:
            return online()
        except NotRunningError:
            pass
        except ToxvpnError:
            if not gives_way(settings.places.runtime):
                raise
        try:
            return offline()
        except IdentityInUseError:
            if time.monotonic() > deadline:
                raise
            time.sleep(LOOK_AGAIN_S)


@contextlib.contextmanager
def kept_members(settings: Settings) -> "Iterator[Members]":
    """Opens and locks what toxvpn keeps, while it is not running. Raises IdentityInUseError, ConfigError."""
    from ..members import friends
    from ..members.members import Members
    from ..state.identity import Identity

    directory = settings.places.data
    with Identity.open(directory):
        yield Members(directory, friends.load(directory), time.time, os.urandom)


def print_note(settings: Settings, text: str) -> None:
    """Print a line of progress or advice on stderr, unless -q is given."""
    if not settings.quiet:
        click.echo(text, err=True)
