"""Our encryption and libsodium's on any bytes: the C functions of the loaded netio module, and libsodium.

A text begins with 32 bytes of zeros, a box with 16 and the tag.
"""

import ctypes
from collections.abc import Callable
from ctypes import CFUNCTYPE, POINTER, c_bool, c_char_p, c_int, c_size_t, c_ulonglong, c_void_p
from typing import Any

from .._native.net import netio

ZEROS = 32
LONGEST = 2048
"""Bytes of the longest text that is not left to libsodium."""
STEP = 512
"""A kernel may write a key stream up to a multiple of this."""
SPARE = 64
"""Bytes before and behind what a function may write, so that a test sees when it writes more."""

_USABLE = CFUNCTYPE(c_bool)
_KEYSTREAM = CFUNCTYPE(None, c_void_p, c_size_t, c_void_p, c_void_p)
_MAC = CFUNCTYPE(None, c_void_p, c_void_p, c_size_t, c_void_p)
_MIX = CFUNCTYPE(None, c_void_p, c_void_p, c_void_p, c_size_t)
_BOX = CFUNCTYPE(c_int, c_void_p, c_void_p, c_ulonglong, c_void_p, c_void_p)


class BoxKernel(ctypes.Structure):
    """struct kernel of kernels.h."""

    _fields_ = (
        ("name", c_char_p),
        ("usable", _USABLE),
        ("keystream", _KEYSTREAM),
        ("mac", _MAC),
        ("mix", _MIX),
    )


_C = ctypes.CDLL(netio.__file__)
_SODIUM = ctypes.CDLL("libsodium.so.23")
_SODIUM.sodium_init()
_LIST = (POINTER(BoxKernel) * 16).in_dll(_C, "kernels")
PORTABLE = BoxKernel.in_dll(_C, "kernel_portable")

_C.box_seal.argtypes = (c_void_p, c_void_p, c_void_p, c_size_t, c_char_p, c_char_p)
_C.box_seal.restype = None
_C.box_open.argtypes = _C.box_seal.argtypes
_C.box_open.restype = c_bool
_C.choose_kernel.argtypes = (c_void_p, _BOX, _BOX, POINTER(c_char_p))
_C.choose_kernel.restype = POINTER(BoxKernel)
for _function in (_C.boxhook_afternm, _C.boxhook_open_afternm):
    _function.argtypes = (c_void_p, c_void_p, c_ulonglong, c_char_p, c_char_p)


def usable_kernels() -> dict[str, BoxKernel]:
    """By name, those that this processor can run, the portable one included."""
    found = {"portable": PORTABLE}
    for pointer in _LIST:
        if not pointer:
            break
        if pointer.contents.usable():
            found[pointer.contents.name.decode()] = pointer.contents
    return found


def broken(kernel: BoxKernel, spoil: Callable[[bytes], bytes]) -> BoxKernel:
    """The kernel with tags that `spoil` has changed; keep it for as long as it is used."""

    def mac(tag: int, text: int, length: int, key: int) -> None:
        kernel.mac(tag, text, length, key)
        ctypes.memmove(tag, spoil(ctypes.string_at(tag, 16)), 16)

    return BoxKernel(b"broken", kernel.usable, kernel.keystream, _MAC(mac), kernel.mix)


def choose(kernels: list[BoxKernel]) -> tuple[str | None, str]:
    """The name of the first that agrees with libsodium; else None, and why."""
    pointers = (POINTER(BoxKernel) * (len(kernels) + 1))(*map(ctypes.pointer, kernels))
    why = c_char_p()
    seal = ctypes.cast(_SODIUM.crypto_box_afternm, _BOX)
    open_box = ctypes.cast(_SODIUM.crypto_box_open_afternm, _BOX)
    chosen = _C.choose_kernel(pointers, seal, open_box, ctypes.byref(why))
    return (chosen.contents.name.decode(), "") if chosen else (None, (why.value or b"").decode())


def seal_for_relay(text: bytes) -> None:
    """As libtoxcore does before it sends a packet to a relay; what comes out is not looked at."""
    padded = Memory(ZEROS + len(text), 0, bytes(ZEROS) + text)
    _C.boxhook_afternm(padded.address, padded.address, ZEROS + len(text), bytes(24), bytes(32))


class Memory:
    """Bytes `offset` behind an aligned address; `intact` says that nothing around them has been written."""

    def __init__(self, length: int, offset: int = 0, content: bytes = b"") -> None:
        self._whole = (ctypes.c_ubyte * (64 + SPARE + offset + length + SPARE))()
        aligned = -ctypes.addressof(self._whole) % 64
        self.address = ctypes.addressof(self._whole) + aligned + SPARE + offset
        self._start, self._length = aligned + SPARE + offset, length
        ctypes.memset(self._whole, 0xA5, len(self._whole))
        ctypes.memmove(self.address, content, len(content))

    def content(self) -> bytes:
        return ctypes.string_at(self.address, self._length)

    def intact(self) -> bool:
        around = bytes(self._whole)
        return set(around[: self._start] + around[self._start + self._length :]) == {0xA5}


def keystream(kernel: BoxKernel, length: int, subkey: bytes, nonce: bytes, offset: int = 0) -> bytes:
    out = Memory(-(-length // STEP) * STEP, offset)
    kernel.keystream(out.address, length, subkey, nonce)
    assert out.intact()
    return out.content()[:length]


def mac(kernel: BoxKernel, text: bytes, key: bytes, offset: int = 0) -> bytes:
    tag, given = Memory(16), Memory(len(text), offset, text)
    kernel.mac(tag.address, given.address, len(text), key)
    assert tag.intact() and given.content() == text
    return tag.content()


def seal(
    kernel: BoxKernel, text: bytes, nonce: bytes, key: bytes, offset: int = 0, in_place: bool = False
) -> bytes:
    given = Memory(len(text), offset, text)
    box = given if in_place else Memory(len(text), offset)
    _C.box_seal(ctypes.byref(kernel), box.address, given.address, len(text), nonce, key)
    assert box.intact() and given.intact()
    return box.content()


def open_box(
    kernel: BoxKernel, box: bytes, nonce: bytes, key: bytes, offset: int = 0, in_place: bool = False
) -> bytes | None:
    """None: the tag is wrong, and nothing was written."""
    given = Memory(len(box), offset, box)
    text = given if in_place else Memory(len(box), offset)
    before = text.content()
    right = _C.box_open(ctypes.byref(kernel), text.address, given.address, len(box), nonce, key)
    assert text.intact() and given.intact()
    assert right or text.content() == before
    return text.content() if right else None


def _by_sodium(name: str, *arguments: Any) -> int:
    function = _SODIUM[name]
    function.argtypes = tuple(c_ulonglong if isinstance(each, int) else c_char_p for each in arguments)
    return int(function(*arguments))


def sodium_keystream(length: int, key: bytes, nonce: bytes) -> bytes:
    """XSalsa20's, from a key and a nonce of 24 bytes."""
    out = ctypes.create_string_buffer(length)
    _by_sodium("crypto_stream_xsalsa20", out, length, nonce, key)
    return out.raw


def sodium_subkey(key: bytes, nonce: bytes) -> bytes:
    out = ctypes.create_string_buffer(32)
    _by_sodium("crypto_core_hsalsa20", out, nonce[:16], key, b"expand 32-byte k")
    return out.raw


def sodium_mac(text: bytes, key: bytes) -> bytes:
    out = ctypes.create_string_buffer(16)
    _by_sodium("crypto_onetimeauth_poly1305", out, text, len(text), key)
    return out.raw


def sodium_seal(text: bytes, nonce: bytes, key: bytes) -> bytes:
    out = ctypes.create_string_buffer(len(text))
    assert _by_sodium("crypto_box_afternm", out, text, len(text), nonce, key) == 0
    return out.raw


def sodium_open(box: bytes, nonce: bytes, key: bytes) -> bytes | None:
    out = ctypes.create_string_buffer(len(box))
    return out.raw if _by_sodium("crypto_box_open_afternm", out, box, len(box), nonce, key) == 0 else None
