"""Raw struct sockaddr bytes from a host and port, and back, for tests that call compiled code."""

import socket
import struct

_INET = struct.Struct("=H2s4s8x")
_INET6 = struct.Struct("=H2sI16sI")


def pack(host: str, port: int) -> bytes:
    """The address as libtoxcore passes it: struct sockaddr_in6 if `host` has a colon, else sockaddr_in."""
    raw_port = port.to_bytes(2, "big")
    if ":" in host:
        return _INET6.pack(socket.AF_INET6, raw_port, 0, socket.inet_pton(socket.AF_INET6, host), 0)
    return _INET.pack(socket.AF_INET, raw_port, socket.inet_pton(socket.AF_INET, host))


def unpack(raw: bytes) -> tuple[str, int]:
    if len(raw) == _INET6.size:
        _, port, _, host, _ = _INET6.unpack(raw)
        return socket.inet_ntop(socket.AF_INET6, host), int.from_bytes(port, "big")
    _, port, host = _INET.unpack(raw)
    return socket.inet_ntop(socket.AF_INET, host), int.from_bytes(port, "big")
