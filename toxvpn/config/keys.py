"""A row of the table of settings: everything that toxvpn knows about one key of config.toml.

A section of the file is a frozen dataclass (model.py lists them); each of its fields carries its Key. The
table is read by file.py, flags.py and diff.py here, by cli/shared.py (options) and cli/config.py (`config
show`), and by scripts/ (the list of keys in docs/configuration.md, and the man page).
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, NamedTuple, TypeVar, cast, dataclass_transform, overload

T = TypeVar("T")
D = TypeVar("D")
S = TypeVar("S")

_KEY = "key"


class Words(str):
    """Describes a default that cannot be written as a value, e.g. "follows from the key"."""

    __slots__ = ()


NONE = Words("none")


@dataclass(frozen=True, slots=True, eq=False)
class Flag:
    """The option of the command line that sets the key for one run.

    `from_text` turns the argument into the value that the file would have. A flag with a `value` takes no
    argument and stands for that value. `help` replaces the key's own line where that does not fit.
    """

    name: str
    metavar: str | None = None
    heading: str = "Common"
    from_text: Callable[[str], Any] = str
    value: Any = None
    help: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Key:
    """A row of the table.

    `read` turns the value in the file into the one that the run uses. It raises ValueError, UsageError or
    ConfigError with a message for a person; a ValueError without one means that the value must be `form`,
    the accepted form in words. `explain` is one line for a person. `example` is a value in TOML. `default`
    is what the file could say, or Words; None means that the key must be given. `restart` means that a reload
    reports a change and leaves the value as it is.
    """

    read: Callable[[Any], Any]
    explain: str
    form: str
    example: str
    default: Any = None
    restart: bool = False
    flag: Flag | None = None

    def explain_refusal(self, value: object, failure: Exception) -> str:
        """The reason why `read` raised `failure` for the value."""
        return str(failure) or f"must be {self.form}, not {value!r}"

    @property
    def default_shown(self) -> str:
        """The default as `config show` prints it."""
        return f"({self.default})" if isinstance(self.default, Words) else json.dumps(self.default)


@overload
def key(
    read: Callable[[Any], T],
    explain: str,
    *,
    form: str,
    example: str,
) -> T: ...
@overload
def key(
    read: Callable[[Any], T],
    explain: str,
    *,
    form: str,
    example: str,
    default: D,
    shown: object = None,
    restart: bool = False,
    flag: Flag | None = None,
) -> T | D: ...
def key(
    read: Callable[[Any], Any],
    explain: str,
    *,
    default: Any = ...,
    shown: object = None,
    **more: Any,
) -> Any:
    """Declares a field of a section. Without a default the key must be given.

    `shown` is what the file could say for the default, or Words, where `default` itself is neither.
    """
    required = default is ...
    in_file = None if required else default if shown is None else shown
    row = {_KEY: Key(read=read, explain=explain, default=in_file, **more)}
    return field(metadata=row) if required else field(default=default, metadata=row)


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(key,))
def section(cls: type[S]) -> type[S]:
    """Makes a frozen dataclass of a class whose fields are keys."""
    return dataclass(frozen=True, slots=True, kw_only=True)(cls)


def keys_of(holds: type) -> dict[str, Key]:
    """The keys of a section's class, by name, in the order of the documentation."""
    return {each.name: each.metadata[_KEY] for each in fields(holds) if _KEY in each.metadata}


class Section(NamedTuple):
    """A section of the file; `name` is the one in paths of keys, e.g. `peers.NAME` and `forwards[N]`."""

    name: str
    heading: str
    explain: str
    keys: dict[str, Key]

    def path(self, key: str) -> str:
        return f"{self.name}.{key}"


Typed = Mapping[str, Any]
"""The values that flags have set, by the paths of their keys, e.g. `vpn.mtu`."""


def with_typed(section: Section, values: S, typed: Typed) -> S:
    """The values of a section, replaced by what was typed where something was."""
    changed: Any = {name: typed[path] for name in section.keys if (path := section.path(name)) in typed}
    return cast(S, replace(cast(Any, values), **changed))
