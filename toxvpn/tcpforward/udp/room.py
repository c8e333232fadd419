"""Room in the kernel for datagrams that come while we do something else: what it cannot hold is lost."""

import socket
from struct import calcsize, unpack

SO_SNDBUFFORCE, SO_RCVBUFFORCE = 32, 33  # socket(7)
SO_MEMINFO = 55
_MEMINFO = "9I"  # the last one is SK_MEMINFO_DROPS, see sock_diag(7)
ROOM_BYTES = 4 << 20
"""Some 20 ms of a gigabit, as the kernel counts more than the bytes."""
ROOMY = 32
"""So many associations of one owner have it; more could fill the memory for all datagrams of the machine."""


def make_room(sock: socket.socket) -> None:
    """As much as we may: beyond net.core.rmem_max and wmem_max, usually 208 kB, it takes CAP_NET_ADMIN."""
    for forced, modest in ((SO_RCVBUFFORCE, socket.SO_RCVBUF), (SO_SNDBUFFORCE, socket.SO_SNDBUF)):
        try:
            sock.setsockopt(socket.SOL_SOCKET, forced, ROOM_BYTES)
        except PermissionError:
            if sock.getsockopt(socket.SOL_SOCKET, modest) < ROOM_BYTES:  # else who bound it had the right
                sock.setsockopt(socket.SOL_SOCKET, modest, ROOM_BYTES)


def overflowed(sock: socket.socket) -> int:
    """How many datagrams to that socket were lost because there was no room for them."""
    counts: tuple[int, ...] = unpack(
        _MEMINFO, sock.getsockopt(socket.SOL_SOCKET, SO_MEMINFO, calcsize(_MEMINFO))
    )
    return counts[-1]
