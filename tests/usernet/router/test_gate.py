import asyncio
import socket

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6ND_RS, IPv6

from toxvpn.usernet.router.doorkeeper import Drop
from toxvpn.usernet.router.gate import Gate
from toxvpn.wire.answers import Echo, Opening

IP_HEADER = IP(src="100.64.0.2", dst="10.0.0.5")
TO_ROUTERS = IPv6(src="fe80::1", dst="ff02::2") / ICMPv6ND_RS()
SYN, PING = IP_HEADER / TCP(flags="S"), IP_HEADER / ICMP()
OTHERS = [b"", b"E", bytes(IP_HEADER / UDP()), bytes(IP_HEADER / TCP(flags="A")), bytes(SYN)[:-1]]


@pytest.mark.usefixtures("no_descriptor_is_left")
async def test_what_begins_a_conversation_is_told_and_the_rest_counted() -> None:
    kernel, ours = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)
    openings: list[Opening] = []
    echoes: list[Echo] = []
    with kernel, ours:
        gate = Gate(ours.fileno())
        gate.start(openings.append, echoes.append)
        for packet in (*OTHERS[1:], bytes(TO_ROUTERS), bytes(SYN), bytes(PING)):
            kernel.send(packet)
        while not echoes:
            await asyncio.sleep(0)
        gate.send(openings[0].packet)
        assert kernel.recv(100) == bytes(SYN)
        gate.close()
    assert [len(openings), len(echoes)] == [1, 1]
    assert gate.drops == {Drop.MALFORMED: len(OTHERS) - 1}
