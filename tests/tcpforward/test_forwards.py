"""Listeners of a command, added and started, and of a run, replaced all or none."""

import socket
from dataclasses import replace
from types import SimpleNamespace
from typing import cast

import pytest

from toxvpn.errors import ToxvpnError
from toxvpn.tcpforward.caller import Caller
from toxvpn.tcpforward.forwards import DatagramForward, Destination, ForwardListener, Forwards
from toxvpn.tcpforward.spec import Listen, Target, Transport

HERE = "127.0.0.1"
SSH = Target("localhost", 22)
CALLER = cast(Caller, SimpleNamespace(peer=SimpleNamespace(short="box")))


@pytest.fixture
def forwards() -> Forwards:
    return Forwards(lambda peer: ("tuntox", f"chosen for {peer.short}"))


def free() -> Listen:
    with socket.create_server((HERE, 0)) as found:
        return Listen((HERE,), found.getsockname()[1])


def is_open(listen: Listen) -> bool:
    try:
        socket.create_server((HERE, listen.port)).close()
    except OSError:
        return True
    return False


async def test_a_command_starts_what_it_adds(forwards: Forwards) -> None:
    listen, handed_over = free(), socket.create_server((HERE, 0))
    forwards.add(str(listen), listen, Destination(CALLER, SSH))
    forwards.add("handed over", [handed_over], Destination(CALLER, None))
    forwards.start()
    assert [(each.listen, each.target, each.streams) for each in forwards.states()] == [
        (str(listen), "localhost:22", 0),
        ("handed over", "socks5", 0),
    ]
    assert {each.why for each in forwards.states()} == {"chosen for box"}
    await forwards.close()
    assert handed_over.fileno() == -1 and not is_open(listen)


async def test_datagrams_have_ports_of_their_own(forwards: Forwards) -> None:
    tcp = free()
    udp = replace(tcp, transport=Transport.UDP)
    handed_over = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    handed_over.bind((HERE, 0))
    forwards.add(str(tcp), tcp, Destination(CALLER, SSH))
    forwards.add(str(udp), udp, Destination(CALLER, SSH))
    forwards.add("handed over", [handed_over], Destination(CALLER, SSH))
    assert [type(each) for each in forwards._listeners.values()] == [
        ForwardListener,
        DatagramForward,
        DatagramForward,
    ]
    await forwards.close()
    assert handed_over.fileno() == -1


async def test_a_port_of_udp_moves_to_more_addresses_and_back(forwards: Forwards) -> None:
    here = replace(free(), transport=Transport.UDP)
    everywhere = replace(here, hosts=("0.0.0.0",))
    destination = Destination(CALLER, SSH, "box")
    with forwards.bound([here]) as fresh:
        forwards.replace({here: destination}, fresh)
    with pytest.raises(ZeroDivisionError), forwards.bound([everywhere]):
        raise ZeroDivisionError
    assert forwards._listeners[str(here)].sockets[0].getsockname() == (HERE, here.port)
    with forwards.bound([everywhere]) as fresh:
        forwards.replace({everywhere: destination}, fresh)
    assert [each.listen for each in forwards.states()] == [f"udp/0.0.0.0:{here.port}"]
    await forwards.close()


async def test_a_run_replaces_all_or_none(forwards: Forwards) -> None:
    destination = Destination(CALLER, SSH, "box")
    one, two, taken = free(), free(), socket.create_server((HERE, 0))
    with forwards.bound([one]) as fresh:
        forwards.replace({one: destination}, fresh)
    in_use = Listen((HERE,), taken.getsockname()[1])
    with pytest.raises(ToxvpnError, match="in use"), forwards.bound([two, in_use]):
        raise AssertionError("the port is in use")
    assert is_open(one) and not is_open(two)
    with forwards.bound([two]) as fresh:
        forwards.replace({two: destination}, fresh)
    assert is_open(two) and not is_open(one)
    await forwards.close()
    taken.close()
