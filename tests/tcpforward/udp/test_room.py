"""Room for datagrams, with the right to it and without."""

import socket

import pytest

from toxvpn.tcpforward.udp.room import ROOM_BYTES, SO_RCVBUFFORCE, SO_SNDBUFFORCE, make_room


class Unprivileged(socket.socket):
    def setsockopt(self, level: int, option: int, value: int) -> None:  # type: ignore[override]
        if option in (SO_SNDBUFFORCE, SO_RCVBUFFORCE):
            raise PermissionError
        super().setsockopt(level, option, value)


def room_bytes(sock: socket.socket) -> int:
    return sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)


def test_root_has_what_it_wants_and_who_gets_its_socket_keeps_it() -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        make_room(sock)
        if room_bytes(sock) < ROOM_BYTES:
            pytest.skip("not root")
        with Unprivileged(fileno=sock.detach()) as handed_over:
            before = room_bytes(handed_over)
            make_room(handed_over)
            assert room_bytes(handed_over) == before


def test_others_have_what_the_system_lets_them() -> None:
    with Unprivileged(type=socket.SOCK_DGRAM) as sock:
        before = room_bytes(sock)
        make_room(sock)
        assert room_bytes(sock) >= before
