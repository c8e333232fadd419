"""Calls _native/net/sieve.c, as built into the loaded netio module."""

import ctypes
import socket

from .._native.net import netio


class _Struct(ctypes.Structure):
    """struct sieve of sieve.h."""

    _fields_ = (
        ("halvings", ctypes.c_uint),
        ("began_ns", ctypes.c_int64),
        ("used_ns", ctypes.c_int64),
        ("spent_ns", ctypes.c_int64),
        ("overloaded", ctypes.c_bool),
        ("unseen", ctypes.c_uint),
    )


_C = ctypes.PyDLL(netio.__file__)
_spent, _due, _next, _attach = (_C[f"sieve_{name}"] for name in ("spent", "due", "next", "attach"))
_spent.restype, _spent.argtypes = None, (ctypes.c_void_p, ctypes.c_int64)
_due.restype, _due.argtypes = ctypes.c_bool, (ctypes.c_void_p, ctypes.c_int64)
_next.restype, _next.argtypes = ctypes.c_bool, (ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)
_attach.restype, _attach.argtypes = ctypes.c_bool, (ctypes.c_void_p, ctypes.c_int)


class Sieve:
    """In a period that began at `began_ns`."""

    def __init__(self, halvings: int = 0, began_ns: int = 0, used_ns: int = 0) -> None:
        self._struct = _Struct(halvings, began_ns, used_ns)

    @property
    def halvings(self) -> int:
        return int(self._struct.halvings)

    def spent(self, spent_ns: int) -> None:
        _spent(ctypes.byref(self._struct), spent_ns)

    def overloaded(self) -> None:
        self._struct.overloaded = True

    def due(self, now_ns: int) -> bool:
        return bool(_due(ctypes.byref(self._struct), now_ns))

    def next(self, now_ns: int, used_ns: int) -> bool:
        return bool(_next(ctypes.byref(self._struct), now_ns, used_ns))

    def attach(self, sock: socket.socket) -> bool:
        return bool(_attach(ctypes.byref(self._struct), sock.fileno()))
