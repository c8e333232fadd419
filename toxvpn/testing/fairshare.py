"""Calls _native/net/fairshare.c, as built into the loaded netio module."""

import ctypes

from .._native.net import netio
from . import sockaddr

_BYTES = 1024
_C = ctypes.PyDLL(netio.__file__)
_spent = _C["fairshare_spent"]
_spent.restype, _spent.argtypes = None, (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int64)
_exceeded = _C["fairshare_exceeded"]
_exceeded.restype, _exceeded.argtypes = ctypes.c_bool, (ctypes.c_void_p, ctypes.c_char_p)


class FairShare:
    """`host` is an address of either family."""

    def __init__(self) -> None:
        self._share = ctypes.create_string_buffer(_BYTES)

    def spent(self, host: str, spent_ns: int) -> None:
        _spent(self._share, _address(host), spent_ns)

    def exceeded(self, host: str) -> bool:
        return bool(_exceeded(self._share, _address(host)))


def _address(host: str) -> bytes:
    return sockaddr.pack(host, 1).ljust(128, b"\0")  # a struct sockaddr_storage
