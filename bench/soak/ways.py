"""The ways from one machine to the other: how a program there gets a stream, or datagrams, to its target."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from ipaddress import ip_address
from socket import AF_INET, AF_INET6, SOCK_DGRAM, SOCK_STREAM
from socket import socket as Socket  # noqa: N812

from ..harness import LOCALHOST
from .machines import ECHO, FAST, REMOTE, SOCKS, TARGET, TUNTOX, UDP, Machine, Program

CONNECT_S = 20.0
OWN_UDP = 7006
Dial = Callable[[Machine, Machine], Awaitable[Socket]]


@dataclass(frozen=True, slots=True)
class Way:
    """`dial` connects from the first machine to the second one's target. `near` holds the caller's socket
    and `far` the target's, unless these are the kernel's. `steady`: it is there as long as `near` runs.
    """

    name: str
    dial: Dial
    near: Callable[[Machine], Program] | None
    far: Callable[[Machine], Program] | None
    most_bytes: int
    steady: bool = True


async def _connect(
    machine: Machine, address: str, port: int, kind: int = SOCK_STREAM, own_port: int = 0
) -> Socket:
    """Raises OSError, also TimeoutError."""
    family = AF_INET6 if ip_address(address).version == 6 else AF_INET
    sock = machine.host.socket(family, kind)
    sock.setblocking(False)
    try:
        if own_port:
            sock.bind(("", own_port))
        async with asyncio.timeout(CONNECT_S):
            await asyncio.get_running_loop().sock_connect(sock, (address, port))
    except BaseException:
        sock.close()
        raise
    return sock


def _local(port: int) -> Dial:
    return lambda here, there: _connect(here, LOCALHOST, port)


async def _socks(here: Machine, there: Machine) -> Socket:
    sock = await _connect(here, LOCALHOST, SOCKS)
    loop = asyncio.get_running_loop()
    try:
        name = b"localhost"
        ask = b"\x05\x01\x00\x03" + bytes([len(name)]) + name + TARGET.to_bytes(2)
        async with asyncio.timeout(CONNECT_S):
            for question, answer_bytes in ((b"\x05\x01\x00", 2), (ask, 10)):
                await loop.sock_sendall(sock, question)
                answer = await _exactly(sock, answer_bytes)
                if answer[1]:
                    raise OSError(f"SOCKS error {answer[1]}")
    except BaseException:
        sock.close()
        raise
    return sock


async def _exactly(sock: Socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        more = await asyncio.get_running_loop().sock_recv(sock, count - len(data))
        if not more:
            raise OSError("the proxy has ended the connection")
        data += more
    return data


def run_of(machine: Machine) -> Program:
    return machine.run


def client_of(machine: Machine) -> Program:
    return machine.client


STREAMS = (
    Way("fast road", _local(FAST), run_of, run_of, 8_000_000),
    Way("tuntox road", _local(TUNTOX), client_of, run_of, 1_000_000),
    Way("SOCKS5", _socks, run_of, run_of, 4_000_000, steady=False),
    Way("-R", _local(REMOTE), run_of, run_of, 4_000_000, steady=False),
    Way("VPN", lambda here, there: _connect(here, there.ipv4, TARGET), None, None, 8_000_000, steady=False),
    Way(
        "VPN IPv6",
        lambda here, there: _connect(here, there.ipv6, TARGET),
        None,
        None,
        8_000_000,
        steady=False,
    ),
)


async def forwarded_datagrams(here: Machine, there: Machine) -> Socket:
    """From one port always: each is an association that stays for two minutes after its last datagram."""
    return await _connect(here, LOCALHOST, UDP, SOCK_DGRAM, OWN_UDP)


async def vpn_datagrams(here: Machine, there: Machine) -> Socket:
    return await _connect(here, there.ipv4, ECHO, SOCK_DGRAM)


DATAGRAMS: dict[str, Dial] = {"UDP forward": forwarded_datagrams, "VPN UDP": vpn_datagrams}
