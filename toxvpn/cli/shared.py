"""What every command takes, before or after the verb: -C, -b, -d, -q.

Out: one `Settings` per run, in click's `ctx.obj`, into which both places write.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from ..errors import UsageError
from ..tox.places import Places, find_places
from . import logs

Decorator = Callable[[Any], Any]


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

    def begin(self, level: int = logging.INFO) -> None:
        """Every command's first step, once all flags are known: sets up logging. Raises UsageError."""
        if self.quiet and self.debug:
            raise UsageError("-q tells less and -d more: leave one out")
        logs.set_up(debug=self.debug, quiet=self.quiet, level=level)

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
    setting("directory", "-C", metavar="DIR", type=click.Path(path_type=Path),
            help="Keep everything in DIR (a tuntox directory with its tox_save is adopted)."),
    setting("nodes_file", "-b", metavar="FILE", type=click.Path(path_type=Path),
            help="Bootstrap from the nodes in FILE, not the built-in ones; as nodes.tox.chat/json has them."),
    setting("debug", "-d", count=True, help="Tell more; twice: toxcore's own log too."),
    setting("quiet", "-q", is_flag=True, help="Tell errors only."),
)  # fmt: skip


def takes(options: tuple[Decorator, ...]) -> Decorator:
    """A decorator that gives a command all of `options`, listed in this order in its help."""

    def decorate(command: Any) -> Any:
        for add in reversed(options):
            command = add(command)
        return command

    return decorate
