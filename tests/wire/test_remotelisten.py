"""The messages by which a client asks a server to listen for it; nothing in them is believed."""

from ipaddress import ip_address
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toxvpn.wire.jsonlines import JsonLines, LineFaultError, encode_line
from toxvpn.wire.remotelisten import (
    ListenGrant,
    ListenPing,
    ListenPong,
    ListenProtocol,
    ListenRefusal,
    ListenRefused,
    ListenRequest,
    Message,
    decode,
    encode,
    passage,
)

TOKEN = "0123456789abcdef" * 2
LOOPBACK = (ip_address("127.0.0.1"), ip_address("::1"))
ASK: dict[str, Any] = {"listen": ["127.0.0.1", "::1"], "port": 8080, "protocol": "tcp", "to": TOKEN}


@pytest.mark.parametrize(
    "message",
    [
        ListenRequest(LOOPBACK, 8080, TOKEN),
        ListenRequest((ip_address("::"),), 0, TOKEN, ListenProtocol.UDP),
        ListenGrant(LOOPBACK, 43210),
        ListenRequest((), 0, TOKEN, path="/run/a.sock"),
        ListenGrant((), 0, path="/run/a.sock"),
        ListenRefused(ListenRefusal.IN_USE),
        ListenPing(),
        ListenPong(),
    ],
)
def test_messages_arrive_as_they_were_sent(message: Message) -> None:
    (line,) = JsonLines().receive(encode_line(encode(message)))
    assert decode(line) == message


def test_a_request_is_for_tcp_unless_it_says_otherwise() -> None:
    assert decode({name: value for name, value in ASK.items() if name != "protocol"}) == decode(ASK)


@pytest.mark.parametrize(
    "wrong",
    [
        {"listen": []},
        {"listen": "127.0.0.1"},
        {"listen": "/" + 107 * "a"},
        {"listen": "/run/a\n"},
        {"listen": "/run/a", "to": "x"},
        {"listen": ["127.0.0.1"] * 3},
        {"listen": ["localhost"]},
        {"listen": [2130706433]},
        {"listen": ["fe80::1%eth0"]},
        {"listen": ["::ffff:127.0.0.1"]},
        {"port": -1},
        {"port": 65536},
        {"port": True},
        {"port": "8080"},
        {"port": 80.0},
        {"protocol": "icmp"},
        {"protocol": ["tcp"]},
        {"to": "speed"},
        {"to": TOKEN.upper()},
        {"to": TOKEN + "\n"},
        {"to": None},
        {"to": 1},
    ],
)
def test_a_bad_value(wrong: dict[str, Any]) -> None:
    with pytest.raises(LineFaultError):
        decode(ASK | wrong)


@pytest.mark.parametrize("missing", ["port", "to"])
def test_a_missing_value(missing: str) -> None:
    with pytest.raises(LineFaultError):
        decode({name: value for name, value in ASK.items() if name != missing})


def test_the_answer_names_a_port() -> None:
    with pytest.raises(LineFaultError):
        decode({"listening": ["127.0.0.1"], "port": 0})


def test_what_a_later_version_says_is_left_out() -> None:
    assert decode({"news": 1}) is None
    assert decode({"refused": "full-moon"}) == ListenRefused("full-moon")


@pytest.mark.parametrize("code", ["", "x" * 65, "\x1b[2J", 7])
def test_a_refusal_can_be_shown(code: object) -> None:
    with pytest.raises(LineFaultError):
        decode({"refused": code})


values = st.none() | st.booleans() | st.integers() | st.text(max_size=40) | st.lists(st.text(max_size=10))
keys = st.sampled_from(["listen", "port", "to", "protocol", "listening", "refused", "ping", "pong"])


@given(st.dictionaries(keys, values))
def test_no_object_does_harm(line: dict[str, Any]) -> None:
    try:
        message = decode(line)
    except LineFaultError:
        return
    if message is not None:
        assert decode(encode(message)) == message


def test_a_client_can_only_name_a_target_of_this_kind() -> None:
    assert passage(TOKEN) == f"@remote-{TOKEN}"
