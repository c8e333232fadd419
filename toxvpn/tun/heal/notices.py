"""Reads the kernel's notices of a changed network: what of ours went away, and who asked for it.

Sans-IO. In: datagrams of rtnetlink's and nfnetlink's multicast groups (linux/rtnetlink.h,
linux/netfilter/nf_tables.h); out: `Notice`s. Some may be lost, so they only help to name a program: what is
missing is read from the kernel's tables (`kernel`). Neighbours: `monitor` (hears them), `programs` (names the
sender).
"""

import struct
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

from ..host.changes import PROTOCOL, RTN_UNREACHABLE

_HEADER = struct.Struct("=IHHII")  # length, type, flags, sequence number, sender's port
_ATTRIBUTE = struct.Struct("=HH")  # length, type
_FRA_PROTOCOL = 21
_GEN_PROC_PID, _GEN_PROC_NAME = 2, 3


class _Type(IntEnum):
    NEWLINK = 16
    DELADDR = 21
    DELROUTE = 25
    DELRULE = 33
    NEWGEN = 10 << 8 | 15  # NFNL_SUBSYS_NFTABLES, NFT_MSG_NEWGEN: the end of a transaction


@dataclass(frozen=True, slots=True)
class Notice:
    """`kind` as in changes.py, or "link". `port`: the sender's netlink port, often its process ID, 0 for the
    kernel; where the kernel tells the sender's name, `program`, it is the process ID.
    """

    kind: str
    port: int
    program: str = ""


def notices(datagram: bytes, index: int) -> Iterator[Notice]:
    """What may have taken something of ours away; `index` is our device's."""
    for kind, port, body in _messages(datagram):
        match kind:
            case _Type.NEWLINK if _index(body) == index:
                yield Notice("link", port)
            case _Type.DELADDR if _index(body) == index:
                yield Notice("address", port)
            case _Type.DELROUTE if body[5:6] == bytes([PROTOCOL]):  # struct rtmsg: rtm_protocol
                is_unreachable = body[7:8] == bytes([RTN_UNREACHABLE])  # rtm_type
                yield Notice("unreachable" if is_unreachable else "route", port)
            case _Type.DELRULE if _attributes(body[12:]).get(_FRA_PROTOCOL) == bytes([PROTOCOL]):
                yield Notice("rule", port)
            case _Type.NEWGEN:
                found = _attributes(body[4:])
                name = found.get(_GEN_PROC_NAME, b"").rstrip(b"\0").decode(errors="replace")
                yield Notice("nft-table", int.from_bytes(found.get(_GEN_PROC_PID, b""), "big"), name)


def _index(body: bytes) -> int:
    """Of struct ifinfomsg and of struct ifaddrmsg alike."""
    return int.from_bytes(body[4:8], sys.byteorder)


def _messages(datagram: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Each message's type, its sender's port, and what follows its header."""
    at = 0
    while at + _HEADER.size <= len(datagram):
        length, kind, _, _, port = _HEADER.unpack_from(datagram, at)
        if length < _HEADER.size:
            return
        yield kind, port, datagram[at + _HEADER.size : at + length]
        at += (length + 3) & ~3


def _attributes(data: bytes) -> dict[int, bytes]:
    found, at = {}, 0
    while at + _ATTRIBUTE.size <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, at)
        if length < _ATTRIBUTE.size:
            break
        found[kind] = data[at + _ATTRIBUTE.size : at + length]
        at += (length + 3) & ~3
    return found
