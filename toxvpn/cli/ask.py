"""How a verb reaches the running toxvpn, or, when none runs, what it keeps on disk.

Nothing heavy is loaded for a verb that only asks.
"""

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ..control.client import ANSWER_S, ControlClient
from ..errors import NotRunningError
from ..state.places import SERVICE_RUNTIME
from .shared import Settings

if TYPE_CHECKING:
    from ..members.book import Members

T = TypeVar("T")

STARTING_S = 3.0
"""How long a daemon that has taken the identity gets to open its control socket."""
LOOK_AGAIN_S = 0.1


def connect(settings: Settings) -> ControlClient:
    """Raises NotRunningError, NoPermissionError."""
    try:
        return ControlClient(settings.places.runtime)
    except NotRunningError as error:
        if settings.directory is None and os.geteuid() != 0 and SERVICE_RUNTIME.exists():
            raise NotRunningError(f"{error}; the system's own may be running: try sudo") from None
        raise


def ask(settings: Settings, do: str, *, answer_s: float | None = ANSWER_S, **arguments: object) -> Any:
    """One question to the running toxvpn. Raises its error, NotRunningError, NoPermissionError."""
    with connect(settings) as client:
        return client.call(do, answer_s=answer_s, **arguments)


def running_or_not(online: Callable[[], T], offline: Callable[[], T]) -> T:
    """What `online` returns; or, when it finds nobody running, `offline`, which holds the identity."""
    from ..state.identity import IdentityInUseError

    deadline = time.monotonic() + STARTING_S
    while True:
        try:
            return online()
        except NotRunningError:
            pass
        try:
            return offline()
        except IdentityInUseError:
            if time.monotonic() > deadline:
                raise
            time.sleep(LOOK_AGAIN_S)


@contextlib.contextmanager
def kept_members(settings: Settings) -> "Iterator[Members]":
    """What a toxvpn that does not run has kept, for us alone. Raises IdentityInUseError, ConfigError, …"""
    from ..members import grants as friends
    from ..members.book import Members
    from ..state.identity import Identity

    directory = settings.places.data
    with Identity.open(directory):
        yield Members(directory, friends.load(directory), time.time, os.urandom)


def print_note(settings: Settings, text: str) -> None:
    """A line of progress or advice: on stderr, and not with -q."""
    if not settings.quiet:
        click.echo(text, err=True)
