"""What every command takes, before or after the verb: -C, -b, -d, -q; and what several take.

Out: one `Settings` per run, in click's `ctx.obj`, into which both places write.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import UsageError
from ..state.places import Places, find_places
from . import logs

if TYPE_CHECKING:
    from ..members.known import May

Decorator = Callable[[Any], Any]
PATH = click.Path(path_type=Path)


class Option(click.Option):
    """An option that the help lists under a heading."""

    def __init__(self, *args: Any, heading: str = "Common", **attributes: Any) -> None:
        super().__init__(*args, **attributes)
        self.heading = heading


@dataclass(slots=True)
class Settings:
    directory: Path | None = None
    nodes_file: Path | None = None
    debug: int = 0
    quiet: bool = False

    def begin(self, level: int = logging.INFO, *, syslog: bool = False) -> None:
        """Every command's first step, once all flags are known: sets up logging.

        Raises UsageError, ToxvpnError (no syslog).
        """
        if self.quiet and self.debug:
            raise UsageError("-q tells less and -d more: leave one out")
        logs.set_up(debug=self.debug, quiet=self.quiet, level=level, syslog=syslog)

    @property
    def places(self) -> Places:
        return find_places(self.directory)


def into_settings(name: str) -> Callable[[click.Context, click.Parameter, Any], Any]:
    def store(ctx: click.Context, _: click.Parameter, value: Any) -> Any:
        settings = ctx.ensure_object(Settings)
        if name == "debug":
            settings.debug += value
        elif value:
            setattr(settings, name, value)
        return value

    return store


def setting(name: str, *declarations: str, **attributes: Any) -> Decorator:
    attributes |= {"cls": Option, "expose_value": False, "callback": into_settings(name)}
    return click.option(*declarations, name, **attributes)


SHARED: tuple[Decorator, ...] = (
    setting("directory", "-C", metavar="DIR", type=PATH,
            help="Keep everything in DIR (a tuntox directory with its tox_save is adopted)."),
    setting("nodes_file", "-b", metavar="FILE", type=PATH,
            help="Bootstrap from the nodes in FILE, not the built-in ones; as nodes.tox.chat/json has them."),
    setting("debug", "-d", count=True, help="Tell more; twice: toxcore's own log too."),
    setting("quiet", "-q", is_flag=True, help="Tell errors only."),
)  # fmt: skip


def flag(heading: str, *declarations: str, **attributes: Any) -> Decorator:
    return click.option(*declarations, cls=Option, heading=heading, **attributes)


SECRET: tuple[Decorator, ...] = (
    flag("Common", "-s", "secret", metavar="SECRET", help="The shared secret; others can see it here."),
    flag("Common", "--secret-file", metavar="FILE", type=PATH,
         help="Read it from FILE, or leave it in TOXVPN_SHARED_SECRET or TUNTOX_SHARED_SECRET."),
)  # fmt: skip
NODE: tuple[Decorator, ...] = (
    *SECRET,
    flag("Common", "-I", "id_file", metavar="FILE", type=PATH,
         help="Write our Tox ID to FILE as soon as it is known."),
    flag("Common", "-u", "udp_ports", metavar="FIRST:LAST", help="UDP ports to try."),
    flag("Common", "-t", "tcp_port", metavar="PORT", help="Be a TCP relay on PORT; 0: do not be one."),
)  # fmt: skip
"""What every command takes that goes on the Tox network itself."""


MAY = click.option(
    "--may",
    type=click.Choice(["vpn", "forwards"]),
    multiple=True,
    help="What it may do here: be on the VPN, use this server's forwards; repeatable.",
)


def parsed_may(words: tuple[str, ...]) -> "frozenset[May] | None":
    """None when nothing was typed."""
    from ..members.known import May

    return frozenset(May(word) for word in words) or None


def asked_may(words: tuple[str, ...]) -> dict[str, Any]:
    """The argument of a control command, if something was typed."""
    return {"may": list(words)} if words else {}


def takes(options: tuple[Decorator, ...]) -> Decorator:
    """A decorator that gives a command all of `options`, listed in this order in its help."""

    def decorate(command: Any) -> Any:
        for add in reversed(options):
            command = add(command)
        return command

    return decorate


def need_verb(ctx: click.Context) -> None:
    """For a group of commands. Raises UsageError when none of them was named."""
    if ctx.invoked_subcommand is None and isinstance(ctx.command, click.Group):
        raise UsageError(f"{ctx.info_name} what? one of {', '.join(sorted(ctx.command.commands))}")
