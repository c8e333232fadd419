"""--may and --allow: what a peer may do and reach here, for the commands that let one in."""

from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from ..members.peers import May

MAY = click.option(
    "--may",
    type=click.Choice(["vpn", "forwards"]),
    multiple=True,
    help="What it may do here: be on the VPN, use this server's forwards; repeatable.",
)


def parsed_may(words: tuple[str, ...]) -> "frozenset[May] | None":
    """The rights typed with --may; None when nothing was typed."""
    from ..members.peers import May

    return frozenset(May(word) for word in words) or None


def asked_may(words: tuple[str, ...]) -> dict[str, Any]:
    """The argument of a control command, if something was typed."""
    return {"may": list(words)} if words else {}


ALLOW = click.option(
    "--allow",
    metavar="RULE",
    multiple=True,
    help="What it may reach here: localhost:22, udp/*:53, icmp, 'localhost:*' …; repeatable.",
)


def asked_allow(rules: tuple[str, ...]) -> dict[str, Any]:
    """The argument of a control command, if something was typed."""
    return {"allow": list(rules)} if rules else {}
