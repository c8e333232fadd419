"""`toxvpn peer`: manages the peers of this machine, on the running toxvpn or for its next start."""

import os
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from ..errors import NotRunningError, PeerRefusedError, UsageError
from ..names.zone import bare_label
from ..wire.toxid import key_prefix
from .ask import ask, kept_members, print_note, running_or_not
from .may import ALLOW, MAY, asked_allow, asked_may, parsed_may
from .shared import SHARED, Settings, need_verb, takes
from .statustext import called, pending_table
from .table import is_coloured, path_word, print_table

if TYPE_CHECKING:
    from ..members.peers import ConfiguredPeer
    from ..wire.routegrant import RouteGrant

NAME = click.option("--name", metavar="NAME", help="What to call it here.")
LATER = "saved; toxvpn is not running, so this takes effect at its next start"


@click.group("peer", invoke_without_command=True)
@takes(SHARED)
@click.pass_context
def command(ctx: click.Context) -> None:
    """Add, name, remove, list, accept and block peers."""
    need_verb(ctx)


@command.command("add", short_help="Keep a peer by its Tox ID.")
@click.argument("peer", metavar="ID")
@NAME
@MAY
@takes(SHARED)
@click.pass_obj
def add(settings: Settings, peer: str, name: str | None, may: tuple[str, ...]) -> None:
    """Keep a peer by its Tox ID: it is asked to let us in, and may be on our VPN.

    To use forwards of this machine it needs --may forwards, as a secret or an invite has no effect for a kept
    peer. A peer given by its public key alone cannot be asked. For a peer that is kept already, options that
    are not given stay as they are.
    """
    settings.begin()
    answer = add_peer(settings, peer, name, may)
    if "forwards" not in (answer or {}).get("may", ["forwards"]) and not may:
        print_note(settings, NO_FORWARDS)


NO_FORWARDS = "it may not use forwards of this machine; allow that with --may forwards"


def add_peer(
    settings: Settings, text: str, name: str | None, may: tuple[str, ...] = ()
) -> dict[str, Any] | None:
    """The running toxvpn's answer; None when none runs and the peer was only kept."""
    answer: dict[str, Any] | None = running_or_not(
        settings,
        online=lambda: ask(settings, "peer-add", peer=text, name=name, **asked_may(may)),
        offline=lambda: keep_peer(settings, text, name, may),
    )
    return answer


def keep_peer(settings: Settings, text: str, name: str | None, may: tuple[str, ...]) -> None:
    from ..members.peers import parse_peer

    peer = replace(parse_peer(text, name, time.time()), may=parsed_may(may))
    with kept_members(settings) as members:
        check_not_us(settings, peer)
        members.add(peer)
    print_note(settings, LATER)


def check_not_us(settings: Settings, peer: "ConfiguredPeer") -> None:
    """Raises UsageError when the peer is this machine itself."""
    from ..state.identity import read_savedata
    from .id import tox_id

    directory = settings.places.data
    if read_savedata(directory) is not None and tox_id(directory)[:64] == peer.public_key.hex().upper():
        raise UsageError("that is this machine's own Tox ID; give the other machine's")


@command.command("name", short_help="Give a peer another name.")
@click.argument("peer")
@click.argument("name")
@takes(SHARED)
@click.pass_obj
def name_peer(settings: Settings, peer: str, name: str) -> None:
    """Call PEER (name, key, or first digits of a key) NAME from now on."""
    settings.begin()
    running_or_not(
        settings,
        online=lambda: ask_about(settings, "peer-name", peer, name=name),
        offline=lambda: rename_peer(settings, peer, name),
    )


def rename_peer(settings: Settings, selector: str, name: str) -> None:
    from ..members.selector import find

    with kept_members(settings) as members:
        members.rename(find(selector, members), name)


def ask_about(settings: Settings, do: str, peer: str, **arguments: Any) -> Any:
    """Asks the running toxvpn to do it with the peer, whom its own name does not mean. Raises as `ask`."""
    try:
        return ask(settings, do, peer=peer, **arguments)
    except PeerRefusedError:
        for each in ask(settings, "status")["peers"]:
            if each["dns_name"] and bare_label(each["dns_name"]) == bare_label(peer):
                key = each["public_key"][:8]
                raise PeerRefusedError(
                    f"{peer!r} is what that peer calls itself: give its key, {key}, "
                    f"or first a name of yours by `toxvpn peer name {key} NAME`"
                ) from None
        raise


@command.command("route", short_help="Use the networks behind a peer.")
@click.argument("peer")
@click.argument("networks", metavar="NETWORK…|all|none", nargs=-1, required=True)
@takes(SHARED)
@click.pass_obj
def route(settings: Settings, peer: str, networks: tuple[str, ...]) -> None:
    """Use these networks behind PEER from now on, if it advertises them, in place of those so far.

    With all: whatever private ones it advertises. `toxvpn status` shows those that are used, and why others
    are not.
    """
    from ..wire.routegrant import parse_grant

    settings.begin()
    words = [word for each in networks for word in each.split(",")]
    routes = parse_grant(words)
    running_or_not(
        settings,
        online=lambda: ask_about(settings, "peer-route", peer, routes=words),
        offline=lambda: keep_routes(settings, peer, routes),
    )


def keep_routes(settings: Settings, selector: str, routes: "RouteGrant") -> None:
    from ..members.selector import find

    with kept_members(settings) as members:
        members.use_routes(find(selector, members), routes)
    print_note(settings, LATER)


@command.command("remove", short_help="Forget a peer, and shut it out.")
@click.argument("peer")
@takes(SHARED)
@click.pass_obj
def remove(settings: Settings, peer: str) -> None:
    """Forget PEER (name, key, or first digits of a key) and shut it out."""
    settings.begin()
    running_or_not(
        settings,
        online=lambda: ask_about(settings, "peer-remove", peer),
        offline=lambda: forget_peer(settings, peer),
    )


def forget_peer(settings: Settings, selector: str) -> None:
    from ..members.selector import find

    with kept_members(settings) as members:
        members.remove(find(selector, members))


@command.command("accept", short_help="Let in a stranger who has asked.")
@click.argument("key", metavar="KEY")
@NAME
@MAY
@ALLOW
@takes(SHARED)
@click.pass_obj
def accept(
    settings: Settings, key: str, name: str | None, may: tuple[str, ...], allow: tuple[str, ...]
) -> None:
    """Let in a stranger who has asked: KEY is at least the 16 digits that `peer list` shows.

    Without --may it may do whatever the running toxvpn has to offer. Over the VPN it may reach what --allow
    says, and without that nothing; answers to what this machine begins pass.
    """
    settings.begin()
    try:
        accepted = ask(settings, "peer-accept", peer=key, name=name, **asked_may(may), **asked_allow(allow))
    except NotRunningError as error:
        raise NotRunningError(f"{error}; only a running toxvpn has the requests to accept") from None
    print_note(settings, f"let in: {accepted['public_key']}")
    if not allow:
        print_note(settings, REACHES_NOTHING)


REACHES_NOTHING = "it may reach nothing here over the VPN; allow that with `toxvpn peer allow PEER RULE...`"


@command.command("allow", short_help="Say what a peer may reach here.")
@click.argument("peer")
@click.argument("rules", metavar="[RULE]...", nargs=-1)
@click.option("--nothing", is_flag=True, help="Instead of rules: it may reach nothing here.")
@takes(SHARED)
@click.pass_obj
def allow_peer(settings: Settings, peer: str, rules: tuple[str, ...], nothing: bool) -> None:
    """Let PEER reach here what the RULEs say and nothing else, by forwards and over the VPN.

    A rule is localhost:22, tcp/*:443, udp/*:53, 10.0.0.0/8:80, icmp …, as in `allow` of config.toml. What is
    no longer allowed stops at once over the VPN. Everything on this machine is 'localhost:*'.
    """
    settings.begin()
    if nothing == bool(rules):
        raise UsageError("give rules, such as localhost:22, or --nothing")
    running_or_not(
        settings,
        online=lambda: ask_about(settings, "peer-allow", peer, allow=list(rules)),
        offline=lambda: keep_allow(settings, peer, rules),
    )


def keep_allow(settings: Settings, selector: str, rules: tuple[str, ...]) -> None:
    from ..config.access import checked_allow
    from ..members.selector import find

    allow = checked_allow(rules)
    with kept_members(settings) as members:
        members.allow(find(selector, members), allow)
    print_note(settings, LATER)


@command.command("block", short_help="Shut a peer out for good.")
@click.argument("peer")
@takes(SHARED)
@click.pass_obj
def block(settings: Settings, peer: str) -> None:
    """Shut PEER out for good, whatever else lets it in; a whole key or Tox ID works for unknown peers too.

    It is forgotten, and its requests are ignored, until `peer unblock`.
    """
    settings.begin()
    grant = running_or_not(
        settings,
        online=lambda: ask_about(settings, "peer-block", peer)["grant"],
        offline=lambda: block_kept(settings, peer),
    )
    if grant in ("secret", "open"):
        print_note(settings, WITH_ANOTHER_KEY[grant])


WITH_ANOTHER_KEY = {
    "secret": "it still knows the secret and may come back with another key; `toxvpn secret renew` ends that",
    "open": "it may come back with another key, as --open lets everybody in",
}


def block_kept(settings: Settings, selector: str) -> str | None:
    from ..members.roster import to_block

    with kept_members(settings) as members:
        member = to_block(selector, members)
        members.block(member)
    return member.grant.value if member.grant else None


@command.command("unblock", short_help="Let a blocked peer ask again.")
@click.argument("peer")
@takes(SHARED)
@click.pass_obj
def unblock(settings: Settings, peer: str) -> None:
    """Let PEER ask again, as any stranger; `peer list` shows who is blocked."""
    settings.begin()
    running_or_not(
        settings,
        online=lambda: ask(settings, "peer-unblock", peer=peer),
        offline=lambda: unblock_kept(settings, peer),
    )


def unblock_kept(settings: Settings, selector: str) -> None:
    with kept_members(settings) as members:
        members.unblock(selector)


@command.command("list", short_help="List peers, who has asked, and who is blocked.")
@takes(SHARED)
@click.pass_obj
def list_peers(settings: Settings) -> None:
    """List the peers, the strangers who have asked to come in, and who is blocked."""
    settings.begin()
    try:
        document = ask(settings, "status")
    except NotRunningError:
        print_note(settings, f"toxvpn is not running; these are the peers kept in {settings.places.data}")
        rows, pending, blocked = kept_rows(settings), [], kept_blocked(settings)
    else:
        rows, pending = [running_row(peer) for peer in document["peers"]], document["pending"]
        blocked = [
            [each["name"] or "", each["public_key"][:16], each["since"]] for each in document["blocked"]
        ]
    if rows:
        print_table(("NAME", "KEY", "ADDRESS", "PATH", "LET IN BY"), rows)
    else:
        print_note(settings, "no peers yet: `toxvpn peer add ID` adds one, `toxvpn invite` lets one join")
    if pending:
        click.echo()
        click.echo(pending_table(pending, settings.directory, coloured=is_coloured()))
    if blocked:
        click.echo()
        print_table(("BLOCKED", "KEY", "SINCE"), blocked)


def running_row(peer: dict[str, Any]) -> list[str]:
    address = peer["ipv4"] or peer["ipv6"] or ""
    return [
        called(peer),
        peer["public_key"][:16],
        address,
        path_word(peer["path"], peer.get("via")),
        peer["grant"] or "",
    ]


def kept_blocked(settings: Settings) -> list[list[str]]:
    from ..members import blocked
    from ..wire.invite import utc

    found = blocked.load(settings.places.data).values()
    return [[each.name or "", key_prefix(each.public_key), utc(each.since)] for each in found]


def kept_rows(settings: Settings) -> list[list[str]]:
    """Read without locking the identity, so that a starting toxvpn is not disturbed."""
    from ..members import friends
    from ..members.members import Members
    from ..wire.addressing import overlay_ipv6

    directory = settings.places.data
    members = Members(directory, friends.load(directory), time.time, os.urandom)
    return [
        [
            member.name or "",
            key_prefix(member.public_key),
            str(overlay_ipv6(member.public_key)),
            "",
            member.grant.value if member.grant else "peer",
        ]
        for member in members
    ]
