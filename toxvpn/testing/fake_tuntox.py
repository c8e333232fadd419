"""Scripted tuntox programs for tests: lossless packets enter, lossless packets leave.

They do what docs/wire-format.md §1 says real ones were seen doing, their bad manners included, and
write their bytes by hand: nothing here uses toxvpn's own codec, so an error in it cannot hide.
"""

import struct

V1, V2 = 0xA26A, 0xA26B
PONG, PING, TCP, FIN, REQUEST, ACK = 0x0100, 0x0108, 0x0600, 0x0601, 0x0602, 0x0610


def packet(magic: int, kind: int, connid: int, payload: bytes = b"") -> bytes:
    return struct.pack(">HHHH", magic, kind, connid, len(payload)) + payload


def split(raw: bytes) -> tuple[int, int, int, bytes]:
    """Magic, type, connid and payload; the length field must be true."""
    magic, kind, connid, length = struct.unpack(">HHHH", raw[:8])
    assert length == len(raw) - 8
    return magic, kind, connid, raw[8:]


class FakeTuntoxServer:
    """Opens tunnels to `targets`; is silent about any other, and about the other version's packets."""

    def __init__(self, magic: int, *targets: tuple[str, int], first_id: int = 0x7001) -> None:
        self.magic = magic
        self.targets = set(targets)
        self.requested: list[tuple[str, int]] = []
        self.received: dict[int, bytes] = {}  # by open tunnel
        self.closed: dict[int, bytes] = {}  # what the closed ones had received
        self.invalid: list[bytes] = []
        self._next_id = first_id

    def receive(self, raw: bytes) -> list[bytes]:
        magic, kind, connid, payload = split(raw)
        if magic != self.magic:
            self.invalid.append(raw)
            return []
        if kind == PING:
            return [packet(magic, PONG, 0, payload)]
        if kind == REQUEST:
            return self._request(connid, payload)
        if connid not in self.received:
            self.invalid.append(raw)
        elif kind == TCP:
            self.received[connid] += payload
        elif kind == FIN:
            self.closed[connid] = self.received.pop(connid)
        return []

    def send(self, tunnel_id: int, data: bytes) -> list[bytes]:
        assert tunnel_id in self.received
        return [packet(self.magic, TCP, tunnel_id, data[at : at + 1365]) for at in range(0, len(data), 1365)]

    def close(self, tunnel_id: int) -> list[bytes]:
        self.closed[tunnel_id] = self.received.pop(tunnel_id)
        return [packet(self.magic, FIN, tunnel_id)]

    def _request(self, port: int, payload: bytes) -> list[bytes]:
        forward_id, host = (payload[:4], payload[4:]) if self.magic == V2 else (b"", payload)
        self.requested.append((host.decode("ascii"), port))
        if self.requested[-1] not in self.targets:
            return []
        tunnel_id = self._next_id
        self._next_id += 1
        self.received[tunnel_id] = b""
        return [packet(self.magic, ACK, tunnel_id, forward_id)]


class FakeTuntoxClient:
    """Asks for tunnels. A v2 client heeds only the first ACK of each `-L` (one `forward_id` each)."""

    def __init__(self, magic: int) -> None:
        self.magic = magic
        self.received: dict[int, bytes] = {}  # by open tunnel
        self.closed: dict[int, bytes] = {}
        self.invalid: list[bytes] = []
        self.pongs: list[bytes] = []
        self._unanswered: list[bytes] = []  # forward IDs; empty ones in v1

    def connect(self, host: str, port: int, forward_id: int = 0) -> bytes:
        prefix = struct.pack(">I", forward_id) if self.magic == V2 else b""
        if prefix not in self._unanswered:
            self._unanswered.append(prefix)
        return packet(self.magic, REQUEST, port, prefix + host.encode("ascii"))

    def ping(self) -> bytes:
        return packet(self.magic, PING, 0, b"Hello")

    def send(self, tunnel_id: int, data: bytes) -> bytes:
        assert tunnel_id in self.received
        return packet(self.magic, TCP, tunnel_id, data)

    def close(self, tunnel_id: int) -> bytes:
        self.closed[tunnel_id] = self.received.pop(tunnel_id)
        return packet(self.magic, FIN, tunnel_id)

    def receive(self, raw: bytes) -> None:
        magic, kind, connid, payload = split(raw)
        if magic != self.magic:
            self.invalid.append(raw)
        elif kind == PONG:
            self.pongs.append(payload)
        elif kind == ACK and payload in self._unanswered:
            self._unanswered.remove(payload)
            self.received[connid] = b""
        elif kind == TCP and connid in self.received:
            self.received[connid] += payload
        elif kind == FIN and connid in self.received:
            self.closed[connid] = self.received.pop(connid)
        else:
            self.invalid.append(raw)
