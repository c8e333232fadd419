"""What libtoxcore sends to IPv4 passes a NAT64, and comes back as from IPv4."""

import errno
import os
import select
import socket

from lab import Lab
from lab.require import require
from toxvpn.testing.hooked import Hooked
from toxvpn.testing.sockaddr import pack, unpack

PREFIX = "2001:db8:64::"


def test_ipv4_is_reached_where_there_is_none(lab: Lab) -> None:
    require("tayga")
    server, nat = lab.host("server", ipv6=False), lab.nat64("mobile")
    inner = nat.host("inner")
    assert server.ipv4 and server.ipv4 != nat.ipv4
    mapped = f"::ffff:{server.ipv4}"
    listener = server.socket(type=socket.SOCK_DGRAM)
    listener.bind(("0.0.0.0", 5000))
    listener.settimeout(5)
    relay = server.call(socket.create_server, ("", 5001))
    relay.settimeout(5)
    owner = Hooked()

    def datagram_out() -> int:
        with owner:
            fd = owner.socket(socket.AF_INET6, socket.SOCK_DGRAM)
            owner.sendto(fd, b"out", pack(mapped, 5000))
            return fd

    def connection() -> tuple[int, int]:
        with owner:
            fd = owner.socket(socket.AF_INET, socket.SOCK_STREAM)
            os.set_blocking(fd, False)
            return fd, owner.connect(fd, pack(str(server.ipv4), 5001))

    stream, error = inner.call(connection)
    assert error == errno.ENETUNREACH
    assert owner.set_nat64(PREFIX)
    with listener, relay:
        fd = inner.call(datagram_out)
        said, place = listener.recvfrom(100)
        assert (said, place[0]) == (b"out", nat.ipv4)
        listener.sendto(b"in", place)
        assert select.select([fd], [], [], 5)[0]
        with owner:
            answer, source = owner.recvfrom(fd)
        assert (answer, unpack(source)) == (b"in", (mapped, 5000))
        other, error = inner.call(connection)
        assert error == errno.EINPROGRESS
        relay.accept()[0].close()
        with owner:
            for each in (fd, stream, other):
                owner.close(each)
