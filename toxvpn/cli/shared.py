"""Options of several commands: those that all take, before or after the verb (-C, -b, -d, -q), and others.

Out: one `Settings` per run, in click's `ctx.obj`, into which both places write. Options that set a key of
config.toml for one run are made from the table of keys (config/model.py).
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from ..config.keys import NONE, Flag, Key, Section
from ..config.node import NODE
from ..errors import ConfigError, UsageError
from ..state.places import Places, find_places
from . import logs

Decorator = Callable[[Any], Any]
PATH = click.Path(path_type=Path)


class Seconds(click.FloatRange):
    """A number of seconds, which click's messages call so."""

    name = "number of seconds"


class Option(click.Option):
    """An option that the help lists under a heading."""

    def __init__(self, *args: Any, heading: str = "Common", **attributes: Any) -> None:
        super().__init__(*args, **attributes)
        self.heading = heading


@dataclass(slots=True)
class Settings:
    """`typed` are the values of flags that stand for keys of config.toml, by the keys' paths."""

    directory: Path | None = None
    debug: int = 0
    quiet: bool = False
    typed: dict[str, Any] = field(default_factory=dict)

    def begin(self, level: int = logging.INFO, *, syslog: bool = False) -> None:
        """Every command's first step, once all flags are known: sets up logging.

        Raises UsageError, ToxvpnError (no syslog).
        """
        if self.quiet and self.debug:
            raise UsageError("-q logs less and -d more: leave one out")
        logs.set_up(debug=self.debug, quiet=self.quiet, level=level, syslog=syslog)

    @property
    def nodes_file(self) -> Path | None:
        """The file of -b."""
        return self.typed.get("node.nodes_file")

    @property
    def places(self) -> Places:
        return find_places(self.directory)


def flag(heading: str, *declarations: str, **attributes: Any) -> Decorator:
    return click.option(*declarations, cls=Option, heading=heading, **attributes)


# -- keys of config.toml --------------------------------------------------------------------------


def reader(row: Key, flag: Flag) -> Callable[[str], Any]:
    """Reads what was typed as the file's value would be read. Raises UsageError."""

    def read(text: str) -> Any:
        try:
            return row.read(flag.from_text(text))
        except (ValueError, UsageError, ConfigError) as failure:
            raise UsageError(f"{flag.name}: {row.explain_refusal(text, failure)}") from None

    return read


def key_option(section: Section, name: str) -> Decorator:
    """The option that sets a key for one run; its value is kept in `Settings.typed`."""
    row, path = section.keys[name], section.path(name)
    assert row.flag is not None

    def store(ctx: click.Context, _: click.Parameter, value: Any) -> None:
        if value is not None:
            ctx.ensure_object(Settings).typed[path] = value

    value: dict[str, Any] = {"metavar": row.flag.metavar, "type": reader(row, row.flag)}
    switch = {"is_flag": True, "flag_value": row.flag.value, "default": None}
    return flag(
        row.flag.heading,
        row.flag.name,
        f"{section.name}_{name}",
        expose_value=False,
        callback=store,
        help=row.flag.help or described(row),
        **(value if row.flag.value is None else switch),
    )


def key_options(section: Section, *, but: tuple[str, ...] = ()) -> tuple[Decorator, ...]:
    """The options of every key of the section that has a flag."""
    flagged = [name for name, row in section.keys.items() if row.flag is not None]
    return tuple(key_option(section, name) for name in flagged if name not in but)


def described(row: Key) -> str:
    """The key's line as a sentence, and its default."""
    default = "" if row.default == NONE else f" [default: {row.default}]"
    return f"{row.explain[0].upper()}{row.explain[1:]}.{default}"


# -- options --------------------------------------------------------------------------------------


def add_debug(ctx: click.Context, _: click.Parameter, times: int) -> None:
    ctx.ensure_object(Settings).debug += times


def set_quiet(ctx: click.Context, _: click.Parameter, quiet: bool) -> None:
    ctx.ensure_object(Settings).quiet |= quiet


def set_directory(ctx: click.Context, _: click.Parameter, directory: Path | None) -> None:
    if directory is not None:
        ctx.ensure_object(Settings).directory = directory


SHARED: tuple[Decorator, ...] = (
    flag("Common", "-C", "directory", metavar="DIR", type=PATH, expose_value=False, callback=set_directory,
         help="Keep everything in DIR (a tuntox directory with its tox_save is adopted)."),
    key_option(NODE, "nodes_file"),
    flag("Common", "-d", "debug", count=True, expose_value=False, callback=add_debug,
         help="Log more; twice: toxcore's own log too."),
    flag("Common", "-q", "quiet", is_flag=True, expose_value=False, callback=set_quiet,
         help="Log errors only."),
)  # fmt: skip
SECRET: tuple[Decorator, ...] = (
    flag("Common", "-s", "secret", metavar="SECRET", help="The shared secret; others can see it here."),
    flag("Common", "--secret-file", metavar="FILE", type=PATH,
         help="Read it from FILE, or leave it in TOXVPN_SHARED_SECRET or TUNTOX_SHARED_SECRET."),
)  # fmt: skip
ON_NETWORK: tuple[Decorator, ...] = (
    *SECRET,
    flag("Common", "-I", "id_file", metavar="FILE", type=PATH,
         help="Write our Tox ID to FILE as soon as it is known."),
    *key_options(NODE, but=("nodes_file",)),
)  # fmt: skip
"""The options of every command that goes on the Tox network itself."""


def takes(options: tuple[Decorator, ...]) -> Decorator:
    """A decorator that gives a command all of `options`, listed in this order in its help."""

    def decorate(command: Any) -> Any:
        for add in reversed(options):
            command = add(command)
        return command

    return decorate


def need_verb(ctx: click.Context) -> None:
    """Checks that one of a group's commands was named. Raises UsageError."""
    if ctx.invoked_subcommand is None and isinstance(ctx.command, click.Group):
        names = sorted(ctx.command.commands)
        one_of = "one of " if len(names) > 1 else ""
        raise UsageError(f"{ctx.info_name} needs a command: {one_of}{', '.join(names)}")
