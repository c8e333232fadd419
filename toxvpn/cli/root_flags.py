"""Turns the flags of `toxvpn` without a verb into a client's options, or a server's whitelist.

In: the strings that were typed. Out: ClientOptions (config/options.py), or a UsageError of one line. A run
with -L, -R, -D PORT, -P, -W or -p is a client, every other one a server, as in tuntox.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ..config.options import ClientOptions
from ..errors import PeerRefusedError, UsageError
from ..state.places import find_places
from ..tcpforward.remote.spec import parse_remote
from ..tcpforward.spec import RoadPolicy, parse_forward, parse_listen, parse_target
from ..wire.toxid import ToxId, parse_public_key_or_id, parse_tox_id
from .callee import Callee, find_callee
from .process_flags import DAEMONIZE

if TYPE_CHECKING:
    from ..config.model import Config

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class RootFlags:
    """The flags as strings; each name is also the name of the click parameter."""

    ids: Sequence[str] = ()
    forwards: Sequence[str] = ()
    remotes: Sequence[str] = ()
    pipes: Sequence[str] = ()
    daemon_or_socks: Sequence[str] = ()
    ping: bool = False
    rules_file: Path | None = None
    id_file: Path | None = None
    road: str | None = None
    no_share: bool = False

    @property
    def socks(self) -> list[str]:
        return [value for value in self.daemon_or_socks if value != DAEMONIZE]

    @property
    def daemonize(self) -> bool:
        return DAEMONIZE in self.daemon_or_socks

    @property
    def is_client(self) -> bool:
        return bool(self.forwards or self.remotes or self.pipes or self.socks or self.ping)


def parse_whitelist(typed: RootFlags, secret: bytes | None, *, opened: bool) -> frozenset[bytes]:
    """The keys that -i lets in to a server; `opened` is --open. Raises UsageError."""
    if typed.road is not None:
        raise UsageError(
            "--road is for the client, which chooses the road: leave it out, or add -L, -R, -D PORT or -P"
        )
    if typed.no_share:
        raise UsageError("--no-share is for the client: leave it out, or add -L, -R, -D PORT or -P")
    if opened and (typed.ids or secret is not None):
        raise UsageError("--open lets everybody in, a secret or -i does not: leave one out")
    return frozenset(parse_each("-i", parse_public_key_or_id, typed.ids))


def build_client(
    typed: RootFlags, common: dict[str, Any], config: "Config | None", secret: bytes | None, *, opened: bool
) -> ClientOptions:
    """`common`: arguments for NodeOptions. Raises UsageError, PeerRefusedError, ConfigError."""
    if typed.rules_file is not None or opened:
        flag = "--open" if opened else "-f"
        raise UsageError(f"{flag} is for the server: leave it out, or leave out -L, -R, -D PORT, -P and -p")
    listens = typed.forwards or typed.remotes or typed.socks
    if typed.ping and (listens or typed.pipes):
        raise UsageError("-p only measures and then ends: leave it out, or leave out -L, -R, -D and -P")
    if typed.pipes and (listens or len(typed.pipes) > 1):
        raise UsageError(
            "-P (or -W) ties stdin and stdout to one target and goes with no other -P, -L, -R or -D"
        )
    if (typed.pipes or typed.ping) and common["daemonize"]:
        flag = "-P needs stdin and stdout" if typed.pipes else "-p prints what it measured"
        raise UsageError(f"-z (or -D alone) goes into the background and {flag}: leave one out")
    directory = common["directory"]
    return client_options(
        parse_callee(typed.ids, directory, config),
        common,
        secret,
        forwards=parse_each("-L", parse_forward, typed.forwards),
        remotes=tuple(each for one in parse_each("-R", parse_remote, typed.remotes) for each in one.each()),
        socks=parse_each("-D", parse_listen, typed.socks),
        pipe=next(iter(parse_each("-P", parse_target, typed.pipes)), None),
        ping=typed.ping,
        road=RoadPolicy(typed.road or RoadPolicy.AUTO),
        share=not typed.no_share,
    )


def client_options(
    callee: Callee, common: dict[str, Any], secret: bytes | None, **wanted: Any
) -> ClientOptions:
    """`common`: arguments for NodeOptions; `secret`: one that was given for this call."""
    kept = callee.kept and secret is None  # where the secret is given, a passing identity will do
    return ClientOptions(
        **common,
        server=callee.tox_id,
        name=callee.name,
        secret=callee.secret if secret is None else secret,
        typed_secret=secret is not None,
        invite=callee.invite if kept else None,
        kept=kept and common["directory"] is None,
        **wanted,
    )


def parse_each(flag: str, parse: Callable[[str], T], texts: Sequence[str]) -> tuple[T, ...]:
    """Parses every value of a flag. The flag's name begins the message of a UsageError."""
    try:
        return tuple(parse(text) for text in texts)
    except UsageError as error:
        raise UsageError(f"{flag} {error}") from None


def parse_server(ids: Sequence[str]) -> ToxId:
    return parse_each("-i", parse_tox_id, ids)[0]


def parse_callee(ids: Sequence[str], directory: Path | None, config: "Config | None") -> Callee:
    """Raises UsageError, PeerRefusedError, ConfigError (the file of peers)."""
    if not ids:
        raise UsageError("the server's Tox ID is missing: add -i ID, which 'toxvpn id' prints on the server")
    if len(ids) > 1:
        raise UsageError("a client talks to one server: give -i once")
    try:
        return find_callee(ids[0], lambda: find_places(directory).data, time.time(), config)
    except (UsageError, PeerRefusedError) as error:
        raise type(error)(f"-i {error}") from None
