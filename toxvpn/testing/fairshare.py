"""Calls _native/net/fairshare.c, as built into the loaded netio module."""

import ctypes

from .._native.net import netio
from . import sockaddr

_BYTES = 1024
_C = ctypes.PyDLL(netio.__file__)
_spent = _C["fairshare_spent"]
_spent.restype, _spent.argtypes = None, (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_uint8, ctypes.c_int64)
_eighths = _C["fairshare_eighths"]
_eighths.restype, _eighths.argtypes = ctypes.c_uint, (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_uint8)
CONNECTED = 0x1B


class FairShare:
    """`host` is an address of either family; `kind` the first byte of a datagram."""

    def __init__(self) -> None:
        self._share = ctypes.create_string_buffer(_BYTES)

    def spent(self, host: str, spent_ns: int, kind: int = CONNECTED) -> None:
        _spent(self._share, _address(host), kind, spent_ns)

    def eighths(self, host: str, kind: int = CONNECTED) -> int:
        return int(_eighths(self._share, _address(host), kind))


def _address(host: str) -> bytes:
    return sockaddr.pack(host, 1).ljust(128, b"\0")  # a struct sockaddr_storage
