"""The form in which toxcore is told of a friend (The Tox Reference, "DHT public key packet")."""

import pytest

from toxvpn.wire.reach.introduction import MOST_NODES, NodeAt, encode

KEY, OTHER = bytes(range(32)), bytes(range(32, 64))


def test_the_form_is_that_of_the_protocol() -> None:
    nodes = [
        NodeAt("192.0.2.1", 33445, OTHER),
        NodeAt("2001:db8::1", 443, OTHER),
        NodeAt("192.0.2.2", 80, OTHER, relay=True),
        NodeAt("2001:db8::2", 1, OTHER, relay=True),
    ]
    assert encode(0x0102, KEY, nodes).hex() == (
        "9c" + "0000000000000102" + KEY.hex()
        + "02" + "c0000201" + "82a5" + OTHER.hex()
        + "0a" + "20010db8000000000000000000000001" + "01bb" + OTHER.hex()
        + "82" + "c0000202" + "0050" + OTHER.hex()
        + "8a" + "20010db8000000000000000000000002" + "0001" + OTHER.hex()
    )  # fmt: skip


def test_no_more_nodes_are_told_than_toxcore_takes() -> None:
    assert len(encode(1, KEY, [NodeAt("192.0.2.1", 1, OTHER)] * 9)) == 41 + MOST_NODES * 39


def test_a_host_is_an_address() -> None:
    with pytest.raises(ValueError, match="example"):
        encode(1, KEY, [NodeAt("example.org", 1, OTHER)])
