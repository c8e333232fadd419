"""`toxvpn send`: sends files and folders to a peer whose `toxvpn receive` waits for them."""

import logging
import os
import time
from pathlib import Path
from typing import Any

import click

from ..config.node import NODE
from ..config.options import ClientOptions
from ..errors import PeerOfflineError, PeerRefusedError, ToxvpnError, UsageError
from ..files.channel import Channel
from ..files.outgoing import Outgoing
from ..files.sources import Source, find_sources, measure
from ..members.selector import is_key
from ..names.zone import bare_label
from ..share.borrow import BorrowedStream, borrow_stream
from ..state.places import SERVICE_RUNTIME
from ..tcpforward.spec import RoadPolicy
from ..wire import filetransfer, invite
from ..wire.filetransfer import ProtocolError
from ..wire.toxid import NOSPAM_BYTES, ToxId
from .ask import ask
from .callee import Callee, find_callee
from .config_flag import find_configuration
from .drop import drop_directory, remove_drop
from .filescreen import Screen, SenderScreen
from .given_secret import find_secret
from .process_flags import ProcessOptions
from .root_flags import client_options
from .run_options import node_options
from .shared import SECRET, SHARED, Settings, flag, key_options, takes

GIVE_UP_S = 600.0
"""How long it tries to go on with a transfer that broke, since the last byte that got through."""
TRY_AGAIN_S = 2.0
NO_DROP = (
    "was not reached: its `toxvpn receive` has ended, or the text was used already, which is good once; "
    "ask for a new one"
)


@click.command("send")
@click.argument("paths", metavar="FILE...", nargs=-1, required=True)
@click.argument("peer")
@flag("Client", "--road", type=click.Choice([road.value for road in RoadPolicy]), help="See toxvpn -h.")
@takes(SECRET)
@takes(key_options(NODE, but=("nodes_file",)))
@takes(SHARED)
@click.pass_obj
def command(
    settings: Settings,
    paths: tuple[str, ...],
    peer: str,
    road: str | None,
    secret: str | None,
    secret_file: Path | None,
) -> int:
    """Send files and folders to PEER: a name, a Tox ID, or the text that `toxvpn receive` printed there.

    They go into the folder that was chosen there. When the connection breaks it goes on where it was, and so
    it does when the same command is given again. Exits with 1 if something did not arrive, 4 if the peer
    does not receive.
    """
    settings.begin(logging.WARNING)
    sources = find_sources(paths)
    config = find_configuration(settings, None)
    given = find_secret(secret, secret_file, os.environ)
    common = node_options(settings, ProcessOptions(), config, passing=True)
    peer = without_colon(peer)
    drop = None
    if invite.is_invite(peer):
        drop = invite.decode(peer)
        directory = drop_directory(settings.directory, b"to " + drop.tox_id.public_key + drop.secret)
        if not any(directory.iterdir()):
            drop.check_fresh(time.time())
        callee, run_only = Callee(drop.tox_id, drop, kept=True), False
        common |= {"directory": directory}
    else:
        callee, run_only = find_receiver(settings, peer, config)
    options = client_options(callee, common, given, road=RoadPolicy(road or RoadPolicy.AUTO))
    to = "the other side" if drop is not None else peer
    with Screen(quiet=settings.quiet) as screen:
        view = SenderScreen(screen, to)
        try:
            delivery = Delivery(options, sources, screen, view, to, run_only=run_only, drop=drop is not None)
            delivery.carry_out()
        except KeyboardInterrupt:
            screen.line("stopped; the same command again goes on where it was")
            raise
        finally:
            view.close()
    if drop is not None:
        remove_drop(common["directory"])
    return 1 if view.failed else 0


def without_colon(peer: str) -> str:
    """`box:` as scp has it is `box`. Raises UsageError for `box:path`."""
    name, colon, path = peer.partition(":")
    if colon and path and not is_key(peer) and "." not in name and "[" not in peer and peer.count(":") == 1:
        raise UsageError(
            f"{peer!r} has a path, and the folder is chosen at the other side: leave out {colon + path!r}"
        )
    return peer.removesuffix(":") if peer.count(":") == 1 else peer


def find_receiver(settings: Settings, text: str, config: Any) -> tuple[Callee, bool]:
    """The peer, and whether only the toxvpn that runs here can reach it.

    Raises PeerRefusedError, UsageError, ConfigError.
    """
    try:
        return find_callee(text, lambda: settings.places.data, time.time(), config), False
    except (PeerRefusedError, UsageError) as failure:
        public_key = key_in_run(settings, text)
        if public_key is None:
            if isinstance(failure, PeerRefusedError) and beside_a_service(settings):
                raise PeerRefusedError(f"{failure}; the system service may know it: try sudo") from None
            raise
        return Callee(ToxId(public_key, bytes(NOSPAM_BYTES))), True


def beside_a_service(settings: Settings) -> bool:
    """Whether a service seems to run here that this user has no access to."""
    return settings.directory is None and os.geteuid() != 0 and SERVICE_RUNTIME.exists()


def key_in_run(settings: Settings, text: str) -> bytes | None:
    """The public key of the peer that the toxvpn that runs here knows by this name, key or address."""
    try:
        peers = ask(settings, "status")["peers"]
    except ToxvpnError:
        return None
    for peer in peers:
        named = [peer["name"], peer["dns_name"], peer["ipv4"], peer["ipv6"], peer["public_key"]]
        if bare_label(text) in [bare_label(each) for each in named if each]:
            return bytes.fromhex(peer["public_key"])
    return None


class Delivery:
    """Sends all sources, by as many streams as it takes."""

    def __init__(
        self,
        options: ClientOptions,
        sources: list[Source],
        screen: Screen,
        view: SenderScreen,
        to: str,
        *,
        run_only: bool,
        drop: bool,
    ) -> None:
        self._options = options
        self._sources = sources
        self._screen = screen
        self._view = view
        self._to = to
        self._run_only = run_only
        self._drop = drop
        self._delivered = 0
        self._begun = False

    def carry_out(self) -> None:
        """Raises ToxvpnError."""
        self._screen.line(f"connecting to {self._to} …")
        said = None
        while True:
            reason = self._try()
            if reason is None:
                return
            if time.monotonic() - self._view.moved_s > GIVE_UP_S:
                raise ToxvpnError(
                    f"the transfer broke: {reason}; the same command again goes on where it was"
                )
            if reason != said:
                self._screen.warn(f"the transfer broke: {reason}; trying again (Ctrl-C ends it)")
            said = reason
            time.sleep(TRY_AGAIN_S)

    def _try(self) -> str | None:
        """None: all was sent; otherwise why it broke. Raises ToxvpnError: trying again does not help."""
        try:
            stream = borrow_stream(
                self._options, filetransfer.NAME, filetransfer.VERSION, run_only=self._run_only
            )
        except PeerRefusedError:
            reason = f"{self._to} does not receive from this machine now: run `toxvpn receive` there"
            if not self._begun:
                raise PeerRefusedError(f"{reason}, then send again") from None
            return reason
        except ToxvpnError as failure:
            if self._drop and not self._begun and isinstance(failure, PeerOfflineError):
                raise PeerOfflineError(f"{self._to} {NO_DROP}") from None
            if not self._begun:
                raise
            return str(failure)
        with stream:
            return self._send_over(stream)

    def _send_over(self, stream: BorrowedStream) -> str | None:
        left = self._sources[self._delivered :]
        if not self._begun:
            self._view.moved_s = time.monotonic()
        self._begun = True
        outgoing = Outgoing(Channel(stream.socket), self._view)
        files, total_bytes = measure(left)
        self._view.begin(total_bytes)
        try:
            outgoing.begin(files, total_bytes)
            for source in left:
                outgoing.send(source)
                self._delivered += 1
            outgoing.end()
        except ProtocolError as fault:
            raise ToxvpnError(f"{self._to} does not keep to the protocol: {fault}") from None
        except (OSError, EOFError) as error:
            return stream.why_it_broke() or str(error)
        return None
