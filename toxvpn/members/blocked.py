"""Blocked keys, which nothing else can let in: blocked.json beside the identity.

This is the only way to shut out a key that came by the shared secret, as it would come again. Pure but for
load and save. Neighbours: members.py changes the record, roster.py and admission.py act on it.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..state.files import write_atomic
from ..state.records import LeftOut, moment, named, put_each, read_entries
from ..wire.toxid import parse_public_key_or_id

BLOCKED_NAME = "blocked.json"
SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Blocked:
    """`since` in seconds since the epoch; `name` is the name it had here."""

    public_key: bytes
    since: float
    name: str | None = None


def load(directory: Path) -> dict[bytes, Blocked]:
    """The blocked, by public key. Raises NoPermissionError or ToxvpnError when the file cannot be read."""
    return read_entries(directory / BLOCKED_NAME, decode, {}, "no key is blocked now")


def save(directory: Path, blocked: Mapping[bytes, Blocked]) -> None:
    """Writes the file, whole and 0600. Raises ToxvpnError."""
    write_atomic(directory / BLOCKED_NAME, encode(blocked))


def encode(blocked: Mapping[bytes, Blocked]) -> bytes:
    entries = [
        {"public_key": each.public_key.hex().upper(), "since": round(each.since), "name": each.name}
        for _, each in sorted(blocked.items())
    ]
    return json.dumps({"schema": SCHEMA, "blocked": entries}, indent=1).encode() + b"\n"


def decode(data: bytes, left_out: LeftOut) -> dict[bytes, Blocked]:
    """Raises ValueError, KeyError, TypeError or AttributeError when the file is damaged."""
    document = json.loads(data)
    if document["schema"] != SCHEMA:
        raise ValueError(f"schema {document['schema']!r} is not {SCHEMA}")
    found: dict[bytes, Blocked] = {}

    def put(raw: dict[str, Any]) -> None:
        if not isinstance(raw["name"], str | None):
            raise TypeError(f"the name {raw['name']!r} is not text")
        key = parse_public_key_or_id(raw["public_key"])
        found[key] = Blocked(key, moment(raw["since"]), raw["name"])

    put_each(((named(raw, "name", "public_key"), raw) for raw in document["blocked"]), put, left_out)
    return found
