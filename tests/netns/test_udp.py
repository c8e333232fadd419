"""A UDP forward between two unprivileged toxvpn with real Tox: names, and the largest datagram."""

import socket
import sys
from ipaddress import ip_address

import dns.message
import dns.query
from forwards import DIRECT, WITH_SECRET, Client, Server, private_directory

from lab import Host, Lab, wait_until

HERE = "127.0.0.1"
DNS, ECHO = 5353, 5007
LARGEST = bytes(range(251)) * 260 + bytes(247)
"""65507 bytes: no more fit into a datagram over IPv4."""
NAMES = """
import dns.message, dns.rrset, socket
server = socket.socket(type=socket.SOCK_DGRAM)
server.bind(("127.0.0.1", 53))
while True:
    data, source = server.recvfrom(65535)
    question = dns.message.from_wire(data)
    answer = dns.message.make_response(question)
    answer.answer.append(dns.rrset.from_text(question.question[0].name, 60, "IN", "A", "192.0.2.7"))
    server.sendto(answer.to_wire(), source)
"""
ECHOES = """
import socket
server = socket.socket(type=socket.SOCK_DGRAM)
server.bind(("127.0.0.1", 7))
while True:
    server.sendto(*server.recvfrom(65535))
"""


def look_up(host: str) -> str:
    answer = dns.query.udp(dns.message.make_query("printer.lan.", "A"), host, port=DNS, timeout=10)
    return str(answer.answer[0][0])


def echoes(host: Host, data: bytes) -> bool:
    with host.socket(type=socket.SOCK_DGRAM) as sock:
        sock.connect((HERE, ECHO))
        sock.settimeout(2)
        sock.send(data)
        try:
            return sock.recv(65535) == data
        except TimeoutError:
            return False


def test_names_and_the_largest_datagram(tox_network: Lab) -> None:
    there, here = tox_network.host("there"), tox_network.host("here")
    for program in (NAMES, ECHOES):
        there.popen([sys.executable, "-c", program])
    server = Server(tox_network, there, private_directory(there, "kept"), env=WITH_SECRET)
    forwards = ("-L", f"udp/{DNS}:localhost:53", "-L", f"udp/{ECHO}:{HERE}:7", "-L", "udp/5009:localhost:9")
    client = Client(tox_network, here, "client", server.tox_id, *forwards, road="auto", env=WITH_SECRET)
    client.wait_for(DIRECT)
    client.wait_for("streams take the fast road")
    for address in (HERE, "::1"):
        assert ip_address(here.call(look_up, address)) == ip_address("192.0.2.7")
    wait_until(lambda: echoes(here, LARGEST), "largest datagram to come back", poll_s=0.1)
    with here.socket(type=socket.SOCK_DGRAM) as sock:
        sock.sendto(b"anybody?", (HERE, 5009))
        client.wait_for("udp/localhost:9: the peer says: connection refused")
