import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from toxvpn.descriptors import close
from toxvpn.share import messages
from toxvpn.share.messages import (
    KIND,
    MOST_DESCRIPTORS,
    BadMessageError,
    harmless,
    number_of,
    receive,
    send,
    text_of,
)

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    ends = socket.socketpair(socket.AF_UNIX, KIND)
    yield ends
    for end in ends:
        end.close()


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_each_message_comes_by_itself_with_its_descriptors(pair: Pair) -> None:
    reader, writer = os.pipe()
    send(pair[0], {"do": "pipe"}, [reader, writer])
    send(pair[0], {"log": 20})
    os.close(reader)
    os.close(writer)
    message, (their_reader, their_writer) = receive(pair[1])
    assert message == {"do": "pipe"}
    os.write(their_writer, b"x")
    assert os.read(their_reader, 1) == b"x"
    assert not os.get_inheritable(their_reader)
    close([their_reader, their_writer])
    assert receive(pair[1]) == ({"log": 20}, [])


def test_the_other_side_has_ended(pair: Pair) -> None:
    pair[0].close()
    assert receive(pair[1]) == (None, [])


def test_the_most_that_can_be_listened_on_fits(pair: Pair) -> None:
    told = "x" * 255
    listeners = [{"told": told, "target": told, "sockets": 1}] * MOST_DESCRIPTORS
    send(pair[0], {"listeners": listeners}, [0] * MOST_DESCRIPTORS)
    message, found = receive(pair[1])
    close(found)
    assert message == {"listeners": listeners} and len(found) == MOST_DESCRIPTORS


@pytest.mark.parametrize(
    "said", [b"{", b"[]", b"\xff", b"7", b"[" * 5000, b"{" + b" " * messages.MOST_BYTES + b"}"]
)
def test_nonsense_leaves_no_descriptor_behind(pair: Pair, said: bytes) -> None:
    before = descriptors()
    socket.send_fds(pair[0], [said], [0, 1])
    with pytest.raises(BadMessageError):
        receive(pair[1])
    assert descriptors() == before


@pytest.mark.parametrize("said", [{}, {"log": True}, {"log": -1}, {"log": 256}, {"log": "20"}, {"log": 20.0}])
def test_a_number_is_one_and_small(said: messages.Message) -> None:
    with pytest.raises(BadMessageError):
        number_of(said, "log")


def test_what_is_to_be_shown_is_text() -> None:
    assert text_of({"text": "a\x1bb"}, "text") == "a\ufffdb"
    for said in ({}, {"text": None}, {"text": ["x"]}):
        with pytest.raises(BadMessageError):
            text_of(said, "text")


def test_nothing_that_is_said_steers_a_terminal() -> None:
    assert harmless("größer\n2 lines") == "größer\n2 lines"
    assert harmless("\x1b]0;title\x07\x9b2J\r\u202e") == "\ufffd]0;title\ufffd\ufffd2J\ufffd\ufffd"
