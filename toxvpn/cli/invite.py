"""`toxvpn invite`: prints a short-lived text that lets one machine join; also as a QR code.

The text alone is on stdout; everything else on stderr.
"""

import sys
from typing import Any

import click

from ..config import values
from ..errors import UsageError
from ..wire.invite import encode, utc
from ..wire.toxid import parse_tox_id
from .ask import ask, kept_members, print_note, running_or_not
from .config_flag import find_configuration
from .may import ALLOW, MAY, asked_allow, asked_may, parsed_may
from .shared import SHARED, Settings, takes
from .table import print_table


@click.command("invite")
@click.option(
    "--expires", metavar="TIME", default="24h", show_default=True, help="How long it is valid: 30m, 24h, 7d."
)
@click.option("--name", metavar="NAME", help="What to call the machine that joins.")
@MAY
@ALLOW
@click.option("--qr/--no-qr", default=None, help="Show a QR code. [default: on a terminal]")
@click.option("--list", "list_them", is_flag=True, help="List the outstanding invites.")
@click.option("--revoke", metavar="INVITE", help="Revoke an unused invite, by its first digits in --list.")
@takes(SHARED)
@click.pass_obj
def command(
    settings: Settings,
    expires: str,
    name: str | None,
    may: tuple[str, ...],
    allow: tuple[str, ...],
    qr: bool | None,
    list_them: bool,
    revoke: str | None,
) -> None:
    """Print an invite: on another machine, `toxvpn join INVITE` makes it a peer of this one.

    It lets in one machine, once, and must be kept secret until then. Without --may that machine may use all
    that the running toxvpn, or else the configuration, offers. Over the VPN it may reach what --allow says,
    and without that nothing; answers to what this machine begins pass.
    """
    settings.begin()
    if list_them and revoke is not None:
        raise UsageError("--list and --revoke exclude each other; give one of them")
    if list_them:
        show_invites(settings)
    elif revoke is not None:
        revoke_invite(settings, revoke)
    else:
        made = make_invite(settings, parse_time(expires), name, may, allow)
        click.echo(made["token"])
        print_note(
            settings, f"valid until {utc(made['expires'])}, {describe_use(made)}; there: toxvpn join INVITE"
        )
        if sys.stderr.isatty() if qr is None else qr:
            show_qr(made["token"])


IN_WORDS = {"forwards": "use forwards", "vpn": "be on the network"}


def describe_use(made: dict[str, Any]) -> str:
    """Describes who may use the invite. An older toxvpn that still runs returns neither `may` nor `allow`."""
    may = [IN_WORDS[each] for each in made.get("may", ())]
    if "vpn" in made.get("may", ()) and "allow" in made:
        may[-1] += (
            f", where it may reach here: {', '.join(made['allow'] or ()) or 'nothing (--allow lets it)'}"
        )
    return "for one machine" + (f", which may {' and '.join(may)}" if may else "")


def make_invite(
    settings: Settings, lifetime_s: float, name: str | None, may: tuple[str, ...], allow: tuple[str, ...]
) -> dict[str, Any]:
    return running_or_not(
        settings,
        online=lambda: ask(
            settings, "invite", lifetime_s=lifetime_s, name=name, **asked_may(may), **asked_allow(allow)
        ),
        offline=lambda: keep_invite(settings, lifetime_s, name, may, allow),
    )


def keep_invite(
    settings: Settings, lifetime_s: float, name: str | None, may: tuple[str, ...], allow: tuple[str, ...]
) -> dict[str, Any]:
    from ..config.access import checked_allow, offered
    from ..members.peers import ALL
    from .id import tox_id

    own, config = parse_tox_id(tox_id(settings.places.data)), find_configuration(settings, None)
    usual = ALL if config is None else offered(config) or ALL
    rules = checked_allow(allow) or None
    with kept_members(settings) as members:
        granted = parsed_may(may) or usual
        made = members.invite(own, lifetime_s, name, granted, rules)
    print_note(settings, "toxvpn is not running; start it here (toxvpn up) before the other machine joins")
    return {"token": encode(made), "expires": made.expires, "may": sorted(granted), "allow": rules}


def show_invites(settings: Settings) -> None:
    def kept() -> list[dict[str, Any]]:
        with kept_members(settings) as members:
            return [outstanding.described() for outstanding in members.invites]

    outstanding = running_or_not(settings, online=lambda: ask(settings, "invite-list"), offline=kept)
    if not outstanding:
        print_note(settings, "there are no outstanding invites")
        return
    print_table(
        ("INVITE", "GOOD UNTIL", "NAME", "MAY", "REACHES", "USED BY"),
        [
            [
                each["handle"],
                utc(each["expires"]),
                each["name"] or "",
                ", ".join(each.get("may", ())),
                ", ".join(each.get("allow") or ()),
                (each["used_by"] or "")[:16],
            ]
            for each in outstanding
        ],
    )


def revoke_invite(settings: Settings, handle: str) -> None:
    def kept() -> None:
        with kept_members(settings) as members:
            members.revoke(handle)

    running_or_not(settings, online=lambda: ask(settings, "invite-revoke", invite=handle), offline=kept)


def parse_time(text: str) -> float:
    """Seconds in `30m`, `24h`, `7d`. Raises UsageError."""
    try:
        return values.parse_time(text)
    except ValueError:
        raise UsageError(f"--expires {text!r} is not a time; give one such as 30m, 24h or 7d") from None


def show_qr(token: str) -> None:
    import segno

    # the compact alphanumeric mode of a QR code has upper case only
    code = segno.make(token.upper(), micro=False)
    compact = (sys.stderr.encoding or "").lower().replace("-", "") == "utf8"
    code.terminal(out=sys.stderr, compact=compact, border=2)
