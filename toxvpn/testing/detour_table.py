"""detour.c of the loaded netio module by itself: what toxcore.pyx and the hooks call, called from Python."""

import ctypes
import socket
from ctypes import (
    POINTER,
    Structure,
    byref,
    c_bool,
    c_int,
    c_int64,
    c_size_t,
    c_ssize_t,
    c_uint,
    c_uint32,
    c_void_p,
)
from typing import Any

from .._native.net import netio

LONGEST_PACKET = 1373
SOCKADDR_IN6 = 28  # bytes
MOST_MEMBERS = 64

_C = ctypes.PyDLL(netio.__file__, use_errno=True)


class _Traffic(Structure):
    """struct detour_traffic of detour.h."""

    _fields_ = (
        ("sent", ctypes.c_uint64),
        ("received", ctypes.c_uint64),
        ("asked", ctypes.c_uint64),
        ("sent_ns", c_int64),
        ("received_ns", c_int64),
    )


def _function(name: str, result: Any, *arguments: Any) -> Any:
    function = _C[name]
    function.restype, function.argtypes = result, arguments
    return function


_new = _function("detours_new", c_void_p)
_free = _function("detours_free", None, c_void_p)
_set = _function("detour_set", None, c_void_p, c_uint, c_uint32, ctypes.c_uint8, ctypes.c_char_p)
_clear = _function("detour_clear", None, c_void_p, c_uint)
_open = _function("detour_open", None, c_void_p, c_uint, c_int64)
_address = _function("detour_address", None, c_void_p, c_uint, c_void_p)
_traffic = _function("detour_traffic", _Traffic, c_void_p, c_uint)
_slot = _function("detour_slot", c_int, c_void_p, ctypes.c_char_p, c_uint)
_send = _function("detour_send", c_ssize_t, c_void_p, c_uint, ctypes.c_char_p, c_size_t, c_bool, c_int64)
_next = _function("detour_next", c_size_t, c_void_p, POINTER(c_uint32), c_void_p)
_close = _function("detours_close", None, c_void_p, c_bool)
_arrived = _function(
    "detour_arrived", None, c_void_p, c_uint32, ctypes.c_char_p, c_size_t, c_int64, POINTER(c_void_p)
)
_relay_for = _function("detour_relay_for", None, c_void_p, c_void_p, ctypes.c_char_p, c_size_t)
_onward = _function("detour_is_onward", c_bool, ctypes.c_char_p, c_size_t)
_relay = _function(
    "detour_relay", c_bool, c_void_p, c_uint32, ctypes.c_char_p, c_size_t, POINTER(c_uint32), c_void_p
)
_inject_left = _function("inject_left", c_bool, c_void_p)
_inject_take = _function("inject_take", c_ssize_t, c_void_p, c_void_p, c_size_t, c_void_p, POINTER(c_uint))
_inject_free = _function("inject_free", None, c_void_p)


class DetourTable:
    """What one node has; `now_ns` is the time of every call."""

    def __init__(self) -> None:
        self._all = _new()
        self._inbox = c_void_p()
        self.now_ns = 1_000_000_000

    def __del__(self) -> None:
        _free(self._all)
        _inject_free(self._inbox)

    def set(self, slot: int, via: int, index: int, dht_key: bytes) -> None:
        _set(self._all, slot, via, index, dht_key)

    def clear(self, slot: int) -> None:
        _clear(self._all, slot)

    def open(self, slot: int, for_ns: int) -> None:
        _open(self._all, slot, self.now_ns + for_ns)

    def address(self, slot: int) -> bytes:
        """A struct sockaddr_in6."""
        out = ctypes.create_string_buffer(SOCKADDR_IN6)
        _address(self._all, slot, out)
        return out.raw

    def slot(self, address: bytes) -> int:
        return int(_slot(self._all, address, len(address)))

    def traffic(self, slot: int) -> tuple[int, int, int]:
        """Datagrams of the connection sent and received, and the requests for nodes that came."""
        traffic = _traffic(self._all, slot)
        return traffic.sent, traffic.received, traffic.asked

    def send(self, slot: int, datagram: bytes, *, whole: bool = False) -> int:
        """As sendto(2): raises BlockingIOError."""
        sent = int(_send(self._all, slot, datagram, len(datagram), whole, self.now_ns))
        if sent < 0:
            raise BlockingIOError(ctypes.get_errno(), "no room")
        return sent

    def packets(self) -> list[tuple[int, bytes]]:
        """What is to be sent to friends: each one's number, and the packet."""
        taken = []
        via, packet = c_uint32(), ctypes.create_string_buffer(LONGEST_PACKET)
        while length := _next(self._all, byref(via), packet):
            taken.append((via.value, packet.raw[:length]))
        return taken

    def close(self, closed: bool = True) -> None:
        _close(self._all, closed)

    def arrived(self, via: int, packet: bytes) -> list[tuple[bytes, bytes]]:
        """The datagrams that toxcore gets for it, each with where it comes from."""
        _arrived(self._all, via, packet, len(packet), self.now_ns, byref(self._inbox))
        return self.received()

    def received(self) -> list[tuple[bytes, bytes]]:
        taken = []
        data, source = ctypes.create_string_buffer(4096), ctypes.create_string_buffer(128)
        while _inject_left(self._inbox):
            size = c_uint(128)
            length = _inject_take(self._inbox, data, 4096, source, byref(size))
            taken.append((data.raw[:length], source.raw[: size.value]))
        return taken

    def relay_for(self, members: dict[int, int]) -> None:
        """Friend numbers by index."""
        numbers = (c_uint32 * len(members))(*members.values())
        _relay_for(self._all, numbers, bytes(members), len(members))

    def relay(self, from_number: int, packet: bytes) -> tuple[int, bytes] | None:
        """Who gets it, and what."""
        to, out = c_uint32(), ctypes.create_string_buffer(LONGEST_PACKET)
        if not _relay(self._all, from_number, packet, len(packet), byref(to), out):
            return None
        return to.value, out.raw[: len(packet)]


def is_onward(packet: bytes) -> bool:
    return bool(_onward(packet, len(packet)))


def counters() -> dict[str, int]:
    return netio.detour_counters()


def host_of(address: bytes) -> str:
    return socket.inet_ntop(socket.AF_INET6, address[8:24])
