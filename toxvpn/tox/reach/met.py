"""Where peers were when they were last met: met.json beside the identity.

In: what a connected peer showed and told (reunion.py). Out: the same, at the next start. It only makes that
start faster: what is wrong in it costs some packets, and lets nobody in. Pure but for `load` and `save`.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from ...state.files import write_atomic
from ...state.records import LeftOut, moment, put_each, read_entries
from ...wire.reach import relaylist
from ...wire.reach.introduction import KEY_BYTES, NodeAt
from ...wire.toxid import parse_public_key_or_id

MET_NAME = "met.json"
SCHEMA = 1
MOST_PEERS = 64
KEPT_S = 30 * 86400.0
"""A peer that was not met for so long has hardly kept its addresses."""
DAY_S = 86400.0


@dataclass(frozen=True, slots=True)
class Met:
    """`dht_key`: the one that the peer's toxcore made at its start. `places`: where it was, address and port.

    `relays`: those that it used. `seen_s`: seconds since the epoch.
    """

    dht_key: bytes
    places: tuple[tuple[str, int], ...]
    relays: tuple[NodeAt, ...]
    seen_s: float


class MetBook:
    """The peers that were met, by public key, those met last at the end."""

    def __init__(self, peers: Iterable[tuple[bytes, Met]] = ()) -> None:
        self._peers = dict(sorted(peers, key=lambda item: item[1].seen_s)[-MOST_PEERS:])

    def get(self, public_key: bytes) -> Met | None:
        return self._peers.get(public_key)

    def latest(self) -> list[bytes]:
        """Their keys, those met last first."""
        return list(reversed(self._peers))

    def note(self, public_key: bytes, met: Met) -> bool:
        """Whether that was new. The time is kept to the day: a record that does not change is not written."""
        known = self._peers.pop(public_key, None)
        if known is not None and met.seen_s - known.seen_s < DAY_S:
            met = replace(met, seen_s=known.seen_s)
        self._peers[public_key] = met
        while len(self._peers) > MOST_PEERS:
            del self._peers[next(iter(self._peers))]
        return met != known

    def snapshot(self) -> "MetSnapshot":
        return MetSnapshot(self._peers)


class MetSnapshot:
    """A copy of the record as it is now, which any thread may write."""

    def __init__(self, peers: dict[bytes, Met]) -> None:
        self._data = encode(peers)

    def save(self, directory: Path) -> None:
        """Writes the file, whole and 0600. Raises ToxvpnError."""
        write_atomic(directory / MET_NAME, self._data)


def load(directory: Path, now_s: float) -> MetBook:
    """Without those of long ago, and of a future that a wrong clock has written.

    Raises NoPermissionError or ToxvpnError when the file is there and cannot be read.
    """
    peers: dict[bytes, Met] = read_entries(directory / MET_NAME, decode, {}, "peers are looked for anew")
    return MetBook((key, met) for key, met in peers.items() if abs(now_s - met.seen_s) < KEPT_S)


def encode(peers: dict[bytes, Met]) -> bytes:
    document = {
        "schema": SCHEMA,
        "peers": {key.hex().upper(): _entry(met) for key, met in sorted(peers.items())},
    }
    return json.dumps(document, indent=1).encode() + b"\n"


def _entry(met: Met) -> dict[str, Any]:
    return {
        "dht_key": met.dht_key.hex(),
        "places": met.places,
        "relays": [(each.host, each.port, each.dht_key.hex()) for each in met.relays],
        "seen": round(met.seen_s),
    }


def decode(data: bytes, left_out: LeftOut) -> dict[bytes, Met]:
    """Raises ValueError, KeyError, TypeError or AttributeError when the file is damaged."""
    document = json.loads(data)
    if document["schema"] != SCHEMA:
        raise ValueError(f"schema {document['schema']!r} is not {SCHEMA}")
    peers: dict[bytes, Met] = {}

    def put(item: tuple[str, dict[str, Any]]) -> None:
        key, raw = item
        peers[parse_public_key_or_id(key)] = _decode_entry(raw)

    put_each(((repr(item[0][:16]), item) for item in document["peers"].items()), put, left_out)
    return peers


def _decode_entry(raw: dict[str, Any]) -> Met:
    return Met(
        dht_key=_key(raw["dht_key"]),
        places=tuple(_place(*each) for each in raw["places"])[:2],
        relays=tuple(NodeAt(*_place(host, port), _key(key), relay=True) for host, port, key in raw["relays"])[
            : relaylist.MOST
        ],
        seen_s=moment(raw["seen"]),
    )


def _place(host: str, port: int) -> tuple[str, int]:
    if type(port) is not int or not 0 < port < 65536:
        raise ValueError(f"the port {port!r} is not a number from 1 to 65535")
    return str(ip_address(host)), port


def _key(text: str) -> bytes:
    key = bytes.fromhex(text)
    if len(key) != KEY_BYTES:
        raise ValueError("a key has the wrong length")
    return key
