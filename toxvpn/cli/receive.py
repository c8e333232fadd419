"""`toxvpn receive`: takes files from peers into a folder.

Beside a toxvpn that runs here the files come from its peers; otherwise from whoever gets the text of a drop.
"""

import contextlib
import logging
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import click

from ..config.flags import ConfigSource, DaemonOptions, RunKind
from ..config.model import Config
from ..errors import NotRunningError, ToxvpnError, UsageError
from ..files.folder import open_folder, read_umask
from ..files.incoming import IntoFolder
from ..files.receiving import Receiving, SessionView
from ..process.privileges import become, find_account
from ..share.handout import connect_as_receiver, next_stream
from ..state.places import SERVICE_RUNTIME
from ..wire.invite import decode, utc
from .config_flag import find_configuration
from .drop import drop_directory, drop_node, drop_text, remove_drop
from .filescreen import ReceiverScreen, Screen
from .process_flags import ProcessOptions
from .run_options import node_options
from .shared import PATH, SHARED, Settings, takes

READY_S = 30.0
LOOK_AGAIN_S = 0.05
COME_BACK_S = 60.0
"""How long a toxvpn whose peers send may be gone: a restart takes less."""


@click.command("receive")
@click.option("--into", metavar="DIR", type=PATH, default=Path(), help="The folder. [default: this one]")
@click.option("--from", "senders", metavar="PEER", multiple=True, help="Only from this peer; repeatable.")
@click.option("-U", "user", metavar="USER", help="As root: write as USER, to whom the files belong then.")
@click.option("--once", is_flag=True, help="End when one machine has sent all that it wants to send.")
@click.option(
    "--drop",
    is_flag=True,
    help="Print a text that lets one machine send here, once, also beside a toxvpn that runs.",
)
@takes(SHARED)
@click.pass_obj
def command(
    settings: Settings, into: Path, senders: tuple[str, ...], user: str | None, once: bool, drop: bool
) -> int:
    """Receive files that others send with `toxvpn send`, until stopped; prints their paths.

    While a toxvpn runs here, its peers may send, by the name that they have for this machine. Where none
    runs, or with --drop, a text is printed that lets one machine send, once. Nothing that is in the folder
    is replaced: a name that is taken gets a number.
    """
    settings.begin(logging.WARNING)
    if drop and senders:
        raise UsageError(
            "--from chooses among the peers of this machine, and a drop is for somebody else: leave one out"
        )
    with contextlib.ExitStack() as undo:
        undo.enter_context(_ended_by_sigterm())
        connection = None if drop else connect_as_receiver(settings.directory, senders)
        if connection is None:
            _check_drop(senders, user)
        else:
            undo.callback(connection.close)
            _become(user)
        umask, directory = read_umask(), open_folder(into)
        undo.callback(os.close, directory)
        screen = undo.enter_context(Screen(quiet=settings.quiet))
        reception = Reception(screen, into, IntoFolder(directory, umask))
        undo.callback(reception.close)
        if connection is None:
            return _receive_drop(settings, screen, reception, into)
        screen.line(
            f"receiving into {into.absolute()} from the peers of this machine; there: toxvpn send FILE PEER, "
            "where PEER is what this machine is called there"
        )
        return _receive_from_peers(settings, senders, reception, connection, once=once)


def _check_drop(senders: tuple[str, ...], user: str | None) -> None:
    """Raises NotRunningError, UsageError: what was typed is for receiving from peers."""
    if senders:
        raise NotRunningError(
            "no toxvpn runs here, and --from chooses among its peers: start one, or leave --from out"
        )
    if user is not None:
        raise UsageError(
            f"-U {user} is for files that a toxvpn of root's receives: run this as {user} instead"
        )


def _become(user: str | None) -> None:
    """Raises UsageError, NoPermissionError, ToxvpnError."""
    account = None if user is None else find_account(user)
    if account is not None:
        become(account)


def _receive_from_peers(
    settings: Settings,
    senders: tuple[str, ...],
    reception: "Reception",
    connection: socket.socket,
    *,
    once: bool,
) -> int:
    while True:
        with connection:
            if reception.take(connection, once=once):
                return reception.exit_code
        reception.screen.warn("the toxvpn that runs here has ended: waiting for it to come back")
        connection = _connected_again(settings, senders)


def _connected_again(settings: Settings, senders: tuple[str, ...]) -> socket.socket:
    """Raises NotRunningError."""
    given_up_s = time.monotonic() + COME_BACK_S
    while time.monotonic() < given_up_s:
        time.sleep(1.0)
        connection = connect_as_receiver(settings.directory, senders)
        if connection is not None:
            return connection
    raise NotRunningError("the toxvpn whose peers may send here has ended")


def _receive_drop(settings: Settings, screen: Screen, reception: "Reception", into: Path) -> int:
    folder = drop_directory(settings.directory, b"into " + os.fsencode(into.resolve()))
    text = drop_text(folder)
    reception.sender = "the other machine"
    with drop_node(_drop_options(settings, folder)) as node, _connected(folder, node) as connection:
        if settings.directory is None and os.geteuid() != 0 and SERVICE_RUNTIME.exists():
            screen.line(
                "the system's toxvpn may run here: `sudo toxvpn receive -U $USER` takes files from its peers"
            )
        screen.line(f"receiving into {into.absolute()}; on the other machine:\n")
        screen.warn(f"  toxvpn send FILE {text}\n")
        screen.line(f"good for one machine until {utc(decode(text).expires)}; keep it secret until then")
        if not reception.take(connection, once=True):
            raise ToxvpnError(
                f"the node of the drop has ended; the same command goes on: its log is in {folder}"
            )
    remove_drop(folder)
    return reception.exit_code


def _drop_options(settings: Settings, folder: Path) -> DaemonOptions:
    config = find_configuration(settings, None)
    source = ConfigSource(kind=RunKind.UP)
    common = node_options(settings, ProcessOptions(), config, passing=True)
    return DaemonOptions(**common | {"directory": folder}, source=source, config=Config())


def _connected(folder: Path, node: "subprocess.Popen[bytes]") -> socket.socket:
    """Raises ToxvpnError: the node cannot run."""
    given_up_s = time.monotonic() + READY_S
    while time.monotonic() < given_up_s:
        if (connection := connect_as_receiver(folder, ())) is not None:
            return connection
        if node.poll() is not None:
            assert node.stdout is not None
            raise ToxvpnError(
                node.stdout.read().decode(errors="replace").strip() or "the node of the drop has ended"
            )
        time.sleep(LOOK_AGAIN_S)
    raise ToxvpnError(f"the node of the drop did not start in {READY_S:.0f} s")


class Reception:
    """What is received, and whether a sender has sent all."""

    sender: str | None = None
    """What to call whoever sends, in place of the name of a peer."""

    def __init__(self, screen: Screen, into: Path, to: IntoFolder) -> None:
        self.screen = screen
        self.exit_code = 0
        self._into = into
        self._receiving = Receiving(to, self._on_complete)
        self._complete, self._wake = socket.socketpair()

    def take(self, connection: socket.socket, *, once: bool) -> bool:
        """Takes streams until a sender has sent all, if `once`; False: the node has ended."""
        watched = [connection, self._complete] if once else [connection]
        while True:
            ready, _, _ = select.select(watched, [], [])
            if self._complete in ready:
                return True
            stream = next_stream(connection)
            if stream is None:
                return False
            sock, public_key, name = stream
            self._receiving.start(
                sock, public_key, ReceiverScreen(self.screen, self._into, self.sender or name)
            )

    def close(self) -> None:
        self._receiving.close()
        self._complete.close()
        self._wake.close()

    def _on_complete(self, view: SessionView) -> None:
        assert isinstance(view, ReceiverScreen)
        if view.not_kept:
            self.exit_code = 1
        self._wake.send(b"!")


@contextlib.contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    def stop(number: int, _: FrameType | None) -> None:
        sys.exit(128 + number)

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
