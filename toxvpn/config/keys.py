"""What a key of config.toml is: a row of the table that the sections in model.py make up.

A section is a frozen dataclass; each of its fields carries its Key. The table is read by file.py, flags.py
and diff.py here, by cli/shared.py (options), cli/config.py (`config show`), and by scripts/ (the list of keys
in docs/configuration.md, and the man page).
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
    """A default that is not a value which the file could have, in words for a person."""

    __slots__ = ()


NONE = Words("none")


@dataclass(frozen=True, slots=True, eq=False)
class Flag:
    """The option of the command line that sets the key for one run.

    `from_text` makes of what was typed what the file would have. A flag with a `value` takes no argument and
    stands for that value. `help` is for options that the key's own line does not fit.
    """

    name: str
    metavar: str | None = None
    heading: str = "Common"
    from_text: Callable[[str], Any] = str
    value: Any = None
    help: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Key:
    """`read` makes the typed value of what the file has. It raises ValueError, UsageError or ConfigError with
    a message for a person; a ValueError without one means that `form`, the accepted form in words, says it.

    `explain` is one line for a person. `default` is as the file would have it, or in Words; None where the
    key must be given. `example` is a value in TOML. `restart`: a reload leaves the value as it was at the
    start, and says so.
    """

    read: Callable[[Any], Any]
    explain: str
    form: str
    example: str
    default: Any = None
    restart: bool = False
    flag: Flag | None = None

    def explain_refusal(self, value: object, failure: Exception) -> str:
        """Why `read` did not take the value."""
        return str(failure) or f"must be {self.form}, not {value!r}"

    @property
    def default_shown(self) -> str:
        """As `config show` and the documentation have it."""
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
    """A field of a section. `shown` is the default as the file would have it, or Words, where that is not
    `default` itself. Without a default the key must be given.
    """
    required = default is ...
    told = None if required else default if shown is None else shown
    row = {_KEY: Key(read=read, explain=explain, default=told, **more)}
    return field(metadata=row) if required else field(default=default, metadata=row)


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(key,))
def section(cls: type[S]) -> type[S]:
    """A frozen dataclass whose fields are keys."""
    return dataclass(frozen=True, slots=True, kw_only=True)(cls)


def keys_of(holds: type) -> dict[str, Key]:
    """The keys of a section's class, by name, in the order of the documentation."""
    return {each.name: each.metadata[_KEY] for each in fields(holds) if _KEY in each.metadata}


class Section(NamedTuple):
    """A section of the file. `name` is as in paths of keys, e.g. `peers.NAME` and `forwards[N]`."""

    name: str
    heading: str
    explain: str
    keys: dict[str, Key]


Typed = Mapping[str, Any]
"""The values of flags, as read, by the paths of their keys, e.g. `vpn.mtu`."""


def typed_over(name: str, said: S, typed: Typed) -> S:
    """The section of that name with the values that were typed."""
    paths = {key: f"{name}.{key}" for key in keys_of(type(said))}
    values: Any = {key: typed[path] for key, path in paths.items() if path in typed}
    return cast(S, replace(cast(Any, said), **values))
