"""The gateway of the default route, as the kernel's answer has it."""

import socket
from struct import pack

import pytest

from toxvpn.portmap import gateway
from toxvpn.portmap.gateway import ATTRIBUTE, MESSAGE, ROUTE, RTA_GATEWAY, RTA_PREFSRC, RTM_NEWROUTE, Gateway


def answer(*attributes: tuple[int, bytes], kind: int = RTM_NEWROUTE) -> bytes:
    content = b"".join(ATTRIBUTE.pack(4 + len(value), number) + value for number, value in attributes)
    route = ROUTE.pack(socket.AF_INET, 32, 0, 0, 254, 0, 0, 1, 0)
    return MESSAGE.pack(MESSAGE.size + len(route) + len(content), kind, 0, 1, 0) + route + content


ROUTER = (RTA_GATEWAY, socket.inet_aton("192.168.1.1"))
OWN = (RTA_PREFSRC, socket.inet_aton("192.168.1.2"))
OIF = (4, pack("=I", 7))


def test_the_router_and_our_address() -> None:
    assert gateway._read(answer(OIF, ROUTER, OWN), 5) == Gateway("192.168.1.1", "192.168.1.2", 5)


@pytest.mark.parametrize("packet", [answer(OIF, OWN), answer(ROUTER), answer(ROUTER, OWN, kind=2)])
def test_there_is_no_router(packet: bytes) -> None:
    assert gateway._read(packet, 0) is None


@pytest.mark.parametrize(
    ("own", "translates"), [("192.168.1.2", True), ("100.64.7.7", True), ("203.0.113.9", False)]
)
def test_who_has_a_public_address_is_not_translated(own: str, translates: bool) -> None:
    assert Gateway("192.0.2.1", own).translates is translates


def test_the_kernel_is_asked() -> None:
    found = gateway.find()
    assert found is None or found.own
