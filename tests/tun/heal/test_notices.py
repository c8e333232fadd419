"""The notices of the kernel in a fresh namespace, and bytes of any shape."""

import select
import socket
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toxvpn.testing.netns import have_namespaces, in_new_netns
from toxvpn.tun.heal.monitor import GROUPS, NETLINK_NETFILTER, NFT_GROUP
from toxvpn.tun.heal.notices import Notice, notices

HERE = [
    "ip link add tox0 type veth peer name wire0",
    "ip link set tox0 up",
    "ip link set wire0 up",
]
CASES = {
    "ip addr del 10.1.1.1/24 dev tox0": ("ip addr add 10.1.1.1/24 dev tox0", "address"),
    "ip -6 addr del fd00::1/64 dev tox0": ("ip -6 addr add fd00::1/64 dev tox0 nodad", "address"),
    "ip route del 10.2.0.0/16 proto 116": ("ip route add 10.2.0.0/16 dev tox0 proto 116", "route"),
    "ip -6 route del fd01::/64 proto 116": ("ip -6 route add fd01::/64 dev tox0 proto 116", "route"),
    "ip -6 route del unreachable fd02::/32 proto 116": (
        "ip -6 route add unreachable fd02::/32 proto 116",
        "unreachable",
    ),
    "ip rule del priority 90": ("ip rule add priority 90 table 7 protocol 116", "rule"),
    "ip -6 rule del priority 90": ("ip -6 rule add priority 90 table 7 protocol 116", "rule"),
    "nft flush ruleset": ("nft add table inet toxvpn_x", "nft-table"),
    "ip addr del 10.3.1.1/24 dev wire0": ("ip addr add 10.3.1.1/24 dev wire0", None),
    "ip route del 10.4.0.0/16": ("ip route add 10.4.0.0/16 dev tox0", None),
    "ip rule del priority 91": ("ip rule add priority 91 table 7", None),
    "ip link set tox0 down": ("ip link set lo up", "link"),
}


def run(line: str) -> int:
    process = subprocess.Popen(line.split())
    assert process.wait() == 0
    return process.pid


def heard(sockets: list[socket.socket]) -> list[bytes]:
    """What has come by now: the kernel sends a notice before the command ends."""
    datagrams = []
    while ready := select.select(sockets, [], [], 0)[0]:
        datagrams += [sock.recv(1 << 16) for sock in ready]
    return datagrams


@pytest.mark.real
@pytest.mark.skipif(not have_namespaces(), reason="needs root and network namespaces")
def test_each_loss_names_its_kind_and_who_asked_for_it() -> None:
    def scene() -> dict[str, tuple[int, list[Notice]]]:
        seen = {}
        for line in HERE:
            run(line)
        index = socket.if_nametoindex("tox0")
        sockets = [
            socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, protocol)
            for protocol in (socket.NETLINK_ROUTE, NETLINK_NETFILTER)
        ]
        for sock, groups in zip(sockets, (GROUPS, NFT_GROUP), strict=True):
            sock.bind((0, groups))
        for line, (before, _) in CASES.items():
            run(before)
            heard(sockets)
            process = run(line)
            seen[line] = process, [each for data in heard(sockets) for each in notices(data, index)]
        return seen

    seen = in_new_netns(scene)
    for line, (_, kind) in CASES.items():
        process, found = seen[line]
        if kind is None:
            assert found == [], line
        elif kind == "nft-table":
            # the kernel tells the program's name; its process ID is that outside all PID namespaces
            assert [(each.kind, each.program) for each in found] == [(kind, "nft")]
        else:
            port = 0 if "-6 addr" in line or "link" in line else process  # the kernel does not tell it
            assert Notice(kind, port) in found, line


@given(st.binary(max_size=200), st.sampled_from([16, 21, 25, 33, 0xA0F]))
def test_bytes_of_any_shape_are_read_to_their_end(data: bytes, kind: int) -> None:
    whole = (16 + len(data)).to_bytes(4, "little") + kind.to_bytes(2, "little") + bytes(10) + data
    list(notices(data, 1))
    assert len(list(notices(whole, 1))) <= 1
