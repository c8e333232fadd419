"""Names: DNS messages, the zone made of what peers call themselves, and /etc/hosts as others leave it."""

from ipaddress import ip_address

import dns.exception
import dns.message

from toxvpn.names.answer import HEADER_BYTES, MAX_TCP_BYTES, MalformedQueryError, answer
from toxvpn.names.hosts import with_block, without_block
from toxvpn.names.label import label_of
from toxvpn.names.zone import Zone, ZoneMember, reverse_name, reversed_address

from ..target import Choices, target

BOX = ZoneMember(b"\1" * 32, "box", "", (ip_address("fd74:6f78::2"), ip_address("100.64.0.2")))
MANY = ZoneMember(b"\2" * 32, "many", "", tuple(ip_address(f"fd74:6f78::{number}") for number in range(64)))
ZONE = Zone.of([BOX, MANY])


@target
def dns_query(data: bytes) -> None:
    """Any query: an answer that is well-formed, to that query, and no longer than it may be."""
    for tcp in (False, True):
        try:
            reply = answer(data, ZONE, tcp=tcp)
        except MalformedQueryError as malformed:
            assert malformed.reply is None or len(malformed.reply) == HEADER_BYTES
            continue
        assert len(reply) <= (MAX_TCP_BYTES if tcp else 1232)
        assert reply[:2] == data[:2]
        assert reply[2] & 0x80
        dns.message.from_wire(reply)


@target
def zone(data: bytes) -> None:
    """What peers call themselves: each name is one label, and nobody has that of another."""
    words = data.decode("utf-8", "replace").split("\n")[:32]
    members = [
        ZoneMember(bytes([number + 3]) * 32, None, word, (ip_address(f"fd74:6f78::{number + 1}"),))
        for number, word in enumerate(words)
    ]
    found = Zone.of([BOX, *members])
    assert found.labels[BOX.public_key] == "box"
    assert len(set(found.labels.values())) == len(found.labels)
    for label in found.labels.values():
        assert label_of(label) == label or label[-2:-1] == "-" or label[-3:-2] == "-"
        assert 0 < len(label) <= 63
    for line in found.lines():
        assert len(line.split()) == 2
        assert line.isascii()
    for address in found.names:
        assert reversed_address(reverse_name(address)) == address


@target
def hosts_file(data: bytes) -> None:
    """/etc/hosts with a block of ours put in and taken out: all that others wrote is there."""
    choices = Choices(data)
    names = [f"fd74:6f78::{number} box.tox.internal" for number in range(choices.below(3))]
    text = choices.rest().decode("utf-8", "surrogateescape")
    put = with_block(text, "toxvpn0", names)
    assert all(name in put for name in names)
    assert with_block(put, "toxvpn0", names) == put
    taken = without_block(put, "toxvpn0")
    assert taken == without_block(text, "toxvpn0")
    if "toxvpn" not in text and ".tox.internal" not in text:
        assert taken == text
