"""What programs send to a peer leaves through the VPN or not at all, also after a kill and a new start."""

import signal
import socket
import time

from scapy.layers.inet import IP
from scapy.layers.inet6 import IPv6
from uplink import Capture
from vpns import Machine, connected

from lab import Lab

PORT = 7
LASTING_S = 3.5
"""A kernel has repeated twice by then, 0.2, 0.6, 1.4 and 3 s after the last answer."""


def test_what_a_kernel_repeats_does_not_leave_in_the_clear(tox_network: Lab) -> None:
    """The peer is away meanwhile, and can state no address."""
    lab = tox_network
    alice, bob = (Machine(lab, lab.host(name)) for name in ("alice", "bob"))
    connected(alice, bob)
    listener = alice.host.call(
        socket.create_server, ("::", PORT), family=socket.AF_INET6, dualstack_ipv6=True
    )
    sockets = [bob.host.connect(address, PORT) for address in alice.addresses]
    addresses = {*alice.addresses, *bob.addresses}
    with Capture(bob.host, (), ()) as capture:
        for machine in (alice, bob):
            machine.stop(signal.SIGKILL)
        for each in sockets:
            each.sendall(b"a secret")
        bob.start("--peer", alice.tox_id)
        time.sleep(LASTING_S)
    leaked = [packet for packet in capture.sorted()[1] if ends(packet) & addresses]
    assert not leaked, [packet.summary() for packet in leaked]
    assert bob.status()["self"]["ipv4"] == bob.addresses[0]
    for each in (*sockets, listener):
        each.close()


def ends(packet: IP | IPv6) -> set[str]:
    return {
        end for kind in (IP, IPv6) if packet.haslayer(kind) for end in (packet[kind].src, packet[kind].dst)
    }
