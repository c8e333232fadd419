"""What DHT nodes say of watched keys, read from the answers that toxcore has opened."""

import contextlib
import ipaddress
import os
import select
import socket

import pytest

from toxvpn._native.net import netio
from toxvpn._native.options import Options
from toxvpn._native.toxcore import Tox
from toxvpn.testing.hooked import Hooked
from toxvpn.testing.sockaddr import pack

from .stranger import Stranger

KEY, OTHER = b"k" * 32, b"o" * 32
TELLER, ANOTHER = ("198.51.100.7", 33445), ("198.51.100.8", 33445)
AT = ("203.0.113.9", 40000)
NUMBER = bytes(range(1, 9))
MOST, MOST_ASKED = 64, 512
REQUEST, ANSWER = 2, 4
UDP_IPV4, UDP_IPV6, TCP_IPV4 = 2, 10, 130


def node(key: bytes = KEY, at: tuple[str, int] = AT, kind: int = UDP_IPV4) -> bytes:
    return bytes([kind]) + ipaddress.ip_address(at[0]).packed + at[1].to_bytes(2) + key


def answer(*nodes: bytes, count: int | None = None) -> bytes:
    return bytes([len(nodes) if count is None else count]) + b"".join(nodes) + NUMBER


def asking() -> Hooked:
    """An owner whose request for nodes has gone to the teller."""
    owner = Hooked()
    owner.watch(KEY)
    owner.ask_for_nodes(NUMBER, pack(*TELLER))
    return owner


def heard(text: bytes) -> list[tuple[bytes, tuple[str, int], tuple[str, int]]]:
    owner = asking()
    owner.overhear(text, pack(*TELLER))
    return owner.overheard()


def test_where_the_owner_of_a_watched_key_is_seen_and_by_whom() -> None:
    ipv6 = node(OTHER, ("2001:db8::1", 1), UDP_IPV6)
    assert heard(answer(ipv6, node(OTHER), node())) == [(KEY, AT, TELLER)]


def test_it_is_told_once() -> None:
    owner = asking()
    owner.overhear(answer(node()), pack(*TELLER))
    assert owner.overheard() and not owner.overheard()


@pytest.mark.parametrize(
    "text",
    [
        b"",
        answer(),
        answer(node(OTHER)),
        answer(node(at=("2001:db8::1", 1), kind=UDP_IPV6)),
        answer(node(kind=TCP_IPV4), node()),
        answer(node()[:-1]),
        answer(node(), count=0),
        answer(node(), count=5),
        node(),
    ],
    ids=range(9),
)
def test_nothing_else(text: bytes) -> None:
    assert heard(text) == []


def test_no_more_are_kept_than_so_many() -> None:
    owner = Hooked()
    owner.watch(KEY)
    for _ in range(MOST):
        owner.ask_for_nodes(NUMBER, pack(*TELLER))
        owner.overhear(answer(node(), node()), pack(*TELLER))
    assert len(owner.overheard()) == MOST


@pytest.mark.parametrize("number, teller", [(NUMBER, ANOTHER), (b"anything", TELLER), (bytes(8), TELLER)])
def test_who_was_not_asked_has_nothing_to_say(number: bytes, teller: tuple[str, int]) -> None:
    owner = asking()
    owner.overhear(answer(node())[:-8] + number, pack(*teller))
    assert owner.overheard() == []


def test_each_request_has_one_answer() -> None:
    owner = asking()
    for _ in range(3):
        owner.overhear(answer(node()), pack(*TELLER))
    assert len(owner.overheard()) == 1


def test_an_old_request_has_none_any_more() -> None:
    owner = asking()
    for number in range(MOST_ASKED):
        owner.ask_for_nodes(number.to_bytes(8), pack(*ANOTHER))
    owner.overhear(answer(node()), pack(*TELLER))
    assert owner.overheard() == []


def test_toxcore_opens_what_a_stranger_sends_unasked_and_it_is_not_overheard() -> None:
    tox = Tox(Options(ipv6=False, local_discovery=False))
    with contextlib.closing(tox), contextlib.closing(Stranger(tox.udp_port, tox.dht_id)) as stranger:
        assert netio.hooks().punch.in_force
        tox.watch_key(KEY)
        stranger.tell_nodes(answer(node())[:-8])
        [(udp, _)] = [each for each in tox.sockets() if each[1]]
        assert select.select([udp], [], [], 5)[0]
        tox.iterate()
        assert tox.overheard() == []


def test_answers_are_counted_and_nothing_else() -> None:
    owner = Hooked()
    with owner, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as node:
        own = owner.socket(socket.AF_INET, socket.SOCK_DGRAM)
        bound = socket.socket(fileno=os.dup(own))
        bound.setblocking(False)
        bound.bind(("127.0.0.1", 0))
        for kind in (REQUEST, ANSWER, ANSWER):
            node.sendto(bytes([kind]) + bytes(200), bound.getsockname())
            owner.recvfrom(own)
        bound.close()
        owner.close(own)
    assert owner.answers() == 2
