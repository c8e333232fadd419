"""The hooks under libtoxcore on ordinary descriptors: calls the C functions of the loaded netio module.

Also stands in for the kernel there, for every owner of the process: `set_time` and `fail_sends`.
"""

import ctypes
import os
from ctypes import POINTER, Structure, byref, c_bool, c_double, c_int, c_size_t, c_ssize_t, c_uint, c_void_p
from time import CLOCK_MONOTONIC
from typing import Any

from .._native.net import netio

SOL_SOCKET, SO_RCVBUF = 1, 8
FIONREAD = 0x541B
SOCKADDR_STORAGE = 128  # bytes
INET6_ADDRSTRLEN = 46
SOCKADDR_IN = 16
KEY = 32  # bytes
_TELLER_AT = 48
"""In struct heard of overheard.h."""


class _Timespec(Structure):
    _fields_ = (("tv_sec", ctypes.c_long), ("tv_nsec", ctypes.c_long))


class _Socket(Structure):
    """netio_socket of hooks.h."""

    _fields_ = (("fd", c_int), ("datagram", c_bool))


_SENDMSG = ctypes.CFUNCTYPE(c_ssize_t, c_int, c_void_p, c_int, use_errno=True)
_SEND = ctypes.CFUNCTYPE(c_ssize_t, c_int, c_void_p, c_size_t, c_int, use_errno=True)
_CLOCK_GETTIME = ctypes.CFUNCTYPE(c_int, c_int, POINTER(_Timespec))
_FLUSH_INBOUND = ctypes.CFUNCTYPE(None, c_void_p)


class _Kernel(Structure):
    """struct netio_kernel of kernel.h."""

    _fields_ = (
        ("sendmsg", _SENDMSG),
        ("recvmsg", c_void_p),
        ("clock_gettime", _CLOCK_GETTIME),
        ("queued", c_void_p),
        ("send", _SEND),
        ("recv", c_void_p),
        ("window", c_void_p),
    )


_C = ctypes.PyDLL(netio.__file__, use_errno=True)
_KERNEL = _Kernel.in_dll(_C, "netio_kernel")


def _function(name: str, result: Any, *arguments: Any) -> Any:
    function = _C[name]  # a new object each time, so that its types are this use's own
    function.restype, function.argtypes = result, arguments
    return function


_owner_new = _function("netio_owner_new", c_void_p)
_owner_free = _function("netio_owner_free", None, c_void_p)
_enter = _function("netio_enter", c_void_p, c_void_p)
_leave = _function("netio_leave", None, c_void_p, c_void_p)
_flush = _function("netio_flush", None, c_void_p)
_allow_fragments = _function("netio_allow_fragments", c_bool, c_void_p, c_bool)
_on_flush_inbound = _function("netio_on_flush_inbound", None, c_void_p, _FLUSH_INBOUND, c_void_p)
_congested = _function("netio_congested", c_bool, c_void_p)
_streams_held = _function("netio_streams_held", c_bool, c_void_p)
_receive_pending = _function("netio_receive_pending", c_bool, c_void_p)
_set_batching = _function("netio_set_batching", None, c_void_p, c_bool)
_set_streaming = _function("netio_set_streaming", None, c_void_p, c_bool)
_set_segmentation = _function("netio_set_segmentation", None, c_void_p, c_bool)
_set_mark = _function("netio_set_mark", None, c_void_p, ctypes.c_uint32)
_set_clock_rate = _function("netio_set_clock_rate", None, c_void_p, c_double)
_step_clock = _function("netio_step_clock", None, c_void_p, c_double)
_jump_clock = _function("netio_jump_clock", None, c_void_p, c_double)
_source = _function("netio_source", c_uint, c_void_p, c_void_p)
_sightings = _function("netio_sightings", c_void_p, c_void_p)
_watch = _function("sightings_watch", c_bool, c_void_p, ctypes.c_char_p)
_forget = _function("sightings_forget", None, c_void_p, ctypes.c_char_p)
_take = _function("sightings_take", c_bool, c_void_p, c_void_p, c_void_p)
_place = _function("sightings_place", ctypes.c_uint16, c_void_p, c_void_p)
_open_door = _function("netio_open_door", c_bool, c_void_p, c_int, ctypes.c_char_p, ctypes.c_ushort)
_close_door = _function("netio_close_door", None, c_void_p, c_int)
_answers = _function("netio_answers", ctypes.c_uint32, c_void_p)
_set_nat64 = _function("netio_set_nat64", c_bool, c_void_p, ctypes.c_char_p)
_know_twin = _function("netio_know_twin", c_bool, c_void_p, ctypes.c_char_p, ctypes.c_char_p)
_rank_relay = _function("netio_rank_relay", None, c_void_p, c_int, c_bool)
_begin_call = _function("netio_begin_call", None, c_void_p)
_end_call = _function("netio_end_call", c_bool, c_void_p)
_announced = _function("netio_announced", c_void_p, c_void_p)
_announced_making = _function("announced_making", None, c_void_p, ctypes.c_char_p)
_announce_again = _function("netio_announce_again", c_size_t, c_void_p)
_overheard = _function("netio_overheard", c_void_p, c_void_p)
_overheard_note = _function(
    "overheard_note", None, c_void_p, c_void_p, ctypes.c_char_p, c_size_t, ctypes.c_char_p
)
_overheard_asking = _function("overheard_asking", None, c_void_p, ctypes.c_char_p)
_overheard_sent = _function("overheard_sent", None, c_void_p, ctypes.c_char_p, c_size_t, ctypes.c_char_p)
_overheard_take = _function("overheard_take", c_bool, c_void_p, c_void_p)
_sockets_version = _function("netio_sockets_version", ctypes.c_uint32, c_void_p)
_sockets = _function("netio_sockets", c_size_t, c_void_p, POINTER(_Socket), c_size_t)
_hook_socket = _function("netio_hook_socket", c_int, c_int, c_int, c_int)
_hook_accept = _function("netio_hook_accept", c_int, c_int, c_void_p, c_void_p)
_hook_connect = _function("netio_hook_connect", c_int, c_int, ctypes.c_char_p, c_uint)
_hook_close = _function("netio_hook_close", c_int, c_int)
_hook_sendto = _function(
    "netio_hook_sendto", c_ssize_t, c_int, ctypes.c_char_p, c_size_t, c_int, ctypes.c_char_p, c_uint
)
_hook_recvfrom = _function(
    "netio_hook_recvfrom", c_ssize_t, c_int, c_void_p, c_size_t, c_int, c_void_p, POINTER(c_uint)
)
_hook_send = _function("netio_hook_send", c_ssize_t, c_int, ctypes.c_char_p, c_size_t, c_int)
_hook_recv = _function("netio_hook_recv", c_ssize_t, c_int, c_void_p, c_size_t, c_int)
_hook_ioctl = _function("netio_hook_ioctl", c_int, c_int, ctypes.c_ulong, c_void_p)
_hook_setsockopt = _function("netio_hook_setsockopt", c_int, c_int, c_int, c_int, c_void_p, c_uint)
_hook_clock_gettime = _function("netio_hook_clock_gettime", c_int, c_int, POINTER(_Timespec))


# -- in place of the kernel -----------------------------------------------------------------------

_REAL = _Kernel.from_buffer_copy(_KERNEL)
_time_ns = 0
_errors: list[int] = []


def _clock_gettime(_clock: int, out: Any) -> int:
    out[0] = _Timespec(*divmod(_time_ns, 1_000_000_000))
    return 0


def _sendmsg(fd: int, message: int, flags: int) -> int:
    if _errors and (error := _errors.pop(0)):
        ctypes.set_errno(error)
        return -1
    return int(_REAL.sendmsg(fd, message, flags))


def _send(fd: int, data: int, length: int, flags: int) -> int:
    if _errors and (error := _errors.pop(0)):
        ctypes.set_errno(error)
        return -1
    return int(_REAL.send(fd, data, length, flags))


_OURS = _Kernel(sendmsg=_SENDMSG(_sendmsg), send=_SEND(_send), clock_gettime=_CLOCK_GETTIME(_clock_gettime))


def set_time(ns: int | None) -> None:
    """Set the hooks' source of time to this many nanoseconds, or with None to the kernel's clock again."""
    global _time_ns
    _KERNEL.clock_gettime = _REAL.clock_gettime if ns is None else _OURS.clock_gettime
    _time_ns = ns or 0


def fail_sends(errors: list[int]) -> None:
    """Let the coming calls of the hooks that send fail with these errno values; 0 stands for success."""
    _errors[:] = errors
    _KERNEL.send = _OURS.send if errors else _REAL.send
    _KERNEL.sendmsg = _OURS.sendmsg if errors else _REAL.sendmsg


# -- an owner -------------------------------------------------------------------------------------


def _checked(result: int) -> int:
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    return result


def _as_place(at: Any) -> tuple[str, int]:
    host = ctypes.create_string_buffer(INET6_ADDRSTRLEN)
    port = int(_place(at, host))
    return host.value.decode(), port


class Hooked:
    """An owner of its own, and the hooks called as libtoxcore calls them while it is entered.

    Addresses are the bytes of a struct sockaddr.
    """

    def __init__(self, batching: bool = True, segmentation: bool = True, streaming: bool = True) -> None:
        self._owner = _owner_new()
        self._previous: int | None = None
        self.inbound_flushes = 0
        """How often a turn came to the end of what there was to receive."""
        self._callback = _FLUSH_INBOUND(self._count_flush)
        _on_flush_inbound(self._owner, self._callback, None)
        _set_batching(self._owner, batching)
        _set_streaming(self._owner, streaming)
        _set_segmentation(self._owner, segmentation)

    def _count_flush(self, _context: int | None) -> None:
        self.inbound_flushes += 1

    def __del__(self) -> None:
        _owner_free(self._owner)

    def __enter__(self) -> "Hooked":
        self._previous = _enter(self._owner)
        return self

    def __exit__(self, *_: object) -> None:
        _leave(self._owner, self._previous)

    def socket(self, family: int, kind: int, protocol: int = 0) -> int:
        return _checked(_hook_socket(family, kind, protocol))

    def accept(self, fd: int) -> int:
        return _checked(_hook_accept(fd, None, None))

    def connect(self, fd: int, to: bytes) -> int:
        """Errno, 0: it is connected already."""
        return 0 if _hook_connect(fd, to, len(to)) == 0 else ctypes.get_errno()

    def close(self, fd: int) -> None:
        _checked(_hook_close(fd))

    def set_receive_buffer(self, fd: int, size: int) -> None:
        value = c_int(size)
        _checked(_hook_setsockopt(fd, SOL_SOCKET, SO_RCVBUF, byref(value), ctypes.sizeof(value)))

    def sendto(self, fd: int, data: bytes, to: bytes, flags: int = 0) -> int:
        return _checked(_hook_sendto(fd, data, len(data), flags, to, len(to)))

    def recvfrom(self, fd: int, room: int = 65536, flags: int = 0) -> tuple[bytes, bytes]:
        data = ctypes.create_string_buffer(max(room, 1))
        source = ctypes.create_string_buffer(SOCKADDR_STORAGE)
        source_length = c_uint(SOCKADDR_STORAGE)
        length = _checked(_hook_recvfrom(fd, data, room, flags, source, byref(source_length)))
        return data.raw[:length], source.raw[: source_length.value]

    def recv_into(self, fd: int, buffer: "ctypes.Array[ctypes.c_char]") -> bytes | None:
        """As `recvfrom` of a datagram socket, without its source, into this buffer; None: there are none."""
        source = ctypes.create_string_buffer(SOCKADDR_STORAGE)
        source_length = c_uint(SOCKADDR_STORAGE)
        length = _hook_recvfrom(fd, buffer, len(buffer), 0, source, byref(source_length))
        return buffer.raw[:length] if length >= 0 else None

    def send(self, fd: int, data: bytes) -> int:
        return _checked(_hook_send(fd, data, len(data), 0))

    def recv(self, fd: int, room: int = 65536) -> bytes:
        data = ctypes.create_string_buffer(room)
        length = _checked(_hook_recv(fd, data, room, 0))
        return data.raw[:length]

    def readable(self, fd: int) -> int:
        """How many bytes of a stream can be read (FIONREAD)."""
        count = c_int(-1)
        _checked(_hook_ioctl(fd, FIONREAD, byref(count)))
        return count.value

    def clock_ns(self, clock: int = CLOCK_MONOTONIC) -> int:
        now = _Timespec()
        _checked(_hook_clock_gettime(clock, byref(now)))
        return int(now.tv_sec * 1_000_000_000 + now.tv_nsec)

    def set_mark(self, mark: int) -> None:
        _set_mark(self._owner, mark)

    def set_clock_rate(self, rate: float) -> None:
        _set_clock_rate(self._owner, rate)

    def step_clock(self, step_s: float) -> None:
        _step_clock(self._owner, step_s)

    def jump_clock(self, jump_s: float) -> None:
        _jump_clock(self._owner, jump_s)

    def source(self) -> tuple[str, int] | None:
        """Of the datagram that was received last; None when there are no more."""
        at = ctypes.create_string_buffer(SOCKADDR_STORAGE)
        return _as_place(at) if _source(self._owner, at) else None

    def watch(self, key: bytes) -> bool:
        return bool(_watch(_sightings(self._owner), key))

    def forget(self, key: bytes) -> None:
        _forget(_sightings(self._owner), key)

    def open_a_box(self) -> None:
        """As libtoxcore does with what comes from a place where it knows a peer."""
        ctypes.c_uint64.in_dll(_C, "boxhook_opened").value += 1

    def sightings(self) -> list[tuple[bytes, str, int]]:
        """Each watched key, and where it was seen that is new."""
        key, at = ctypes.create_string_buffer(KEY), ctypes.create_string_buffer(SOCKADDR_STORAGE)
        seen = []
        while _take(_sightings(self._owner), key, at):
            seen.append((key.raw, *_as_place(at)))
        return seen

    def ask_for_nodes(self, number: bytes, to: bytes) -> None:
        """As libtoxcore does: a request of that number, to a packed sockaddr."""
        text = bytes(KEY) + number
        datagram = bytes([2]) + bytes(KEY + 24) + text + bytes(16)
        _overheard_asking(_overheard(self._owner), text)
        _overheard_sent(_overheard(self._owner), datagram, len(datagram), to.ljust(SOCKADDR_STORAGE, b"\0"))

    def overhear(self, text: bytes, teller: bytes) -> None:
        """As if that had been in an answer of `teller`, a packed sockaddr."""
        storage = teller.ljust(SOCKADDR_STORAGE, b"\0")
        _overheard_note(_overheard(self._owner), _sightings(self._owner), text, len(text), storage)

    def overheard(self) -> list[tuple[bytes, tuple[str, int], tuple[str, int]]]:
        """The key, where its owner is seen, and by whom."""
        heard = ctypes.create_string_buffer(KEY + SOCKADDR_IN + SOCKADDR_STORAGE + 8)
        told = []
        while _overheard_take(_overheard(self._owner), heard):
            teller = heard.raw[_TELLER_AT : _TELLER_AT + SOCKADDR_STORAGE]
            at = heard.raw[KEY : KEY + SOCKADDR_IN].ljust(SOCKADDR_STORAGE, b"\0")
            told.append((heard.raw[:KEY], _as_place(at), _as_place(teller)))
        return told

    def answers(self) -> int:
        return int(_answers(self._owner))

    def set_nat64(self, prefix: str) -> bool:
        return bool(_set_nat64(self._owner, prefix.encode()))

    def know_twin(self, ipv4: str, ipv6: str) -> bool:
        return bool(_know_twin(self._owner, ipv4.encode(), ipv6.encode()))

    def rank_relay(self, fd: int, quick: bool) -> None:
        _rank_relay(self._owner, fd, quick)

    def begin_call(self) -> None:
        _begin_call(self._owner)

    def end_call(self) -> bool:
        return bool(_end_call(self._owner))

    def making_announcement(self, text: bytes) -> None:
        _announced_making(_announced(self._owner), text)

    def announce_again(self) -> int:
        return int(_announce_again(self._owner))

    def open_door(self, fd: int, host: str, port: int) -> bool:
        return bool(_open_door(self._owner, fd, host.encode(), port))

    def close_door(self, fd: int) -> None:
        _close_door(self._owner, fd)

    def flush(self) -> None:
        _flush(self._owner)

    def allow_fragments(self, allowed: bool) -> bool:
        return bool(_allow_fragments(self._owner, allowed))

    def congested(self) -> bool:
        return bool(_congested(self._owner))

    def streams_held(self) -> bool:
        return bool(_streams_held(self._owner))

    def receive_pending(self) -> bool:
        return bool(_receive_pending(self._owner))

    def sockets_version(self) -> int:
        return int(_sockets_version(self._owner))

    def sockets(self) -> list[tuple[int, bool]]:
        """Each descriptor, and whether it is a datagram socket."""
        count = _sockets(self._owner, None, 0)
        found = (_Socket * count)()
        _sockets(self._owner, found, count)
        return [(entry.fd, entry.datagram) for entry in found]
