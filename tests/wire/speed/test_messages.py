import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toxvpn.wire.jsonlines import MAX_LINE_BYTES, LineFaultError
from toxvpn.wire.speed.messages import (
    DIRECTIONS,
    KINDS,
    MOST_NUMBER,
    READERS,
    Answer,
    Ask,
    Begun,
    Lines,
    Load,
    Message,
    Received,
    Refused,
    Sent,
    Want,
    decode_untrusted,
    encode,
)

numbers = st.integers(0, MOST_NUMBER)
seconds = st.floats(0, 1e6)
texts = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=64)
maybe = st.none() | numbers
messages: st.SearchStrategy[Message] = st.one_of(
    st.builds(Want, seconds),
    st.builds(Begun, texts, seconds),
    st.builds(Refused, texts),
    st.builds(Load, st.sampled_from(DIRECTIONS), texts),
    st.builds(Ask, numbers),
    st.builds(Answer, numbers),
    st.builds(Received, numbers, seconds),
    st.builds(Sent, maybe, maybe),
)


@given(st.lists(messages, max_size=5), st.binary(max_size=20), st.lists(st.integers(1, 60), max_size=40))
def test_lines_arrive_however_they_are_cut(sent: list[Message], rest: bytes, cuts: list[int]) -> None:
    rest = rest.replace(b"\n", b" ")
    data = b"".join(map(encode, sent)) + rest
    lines = Lines()
    got: list[Message] = []
    for cut in [*cuts, len(data)]:
        lines.feed(data[:cut])
        data = data[cut:]
        while len(got) < len(sent) and (message := lines.next()) is not None:
            got.append(message)
    assert got == sent
    assert lines.rest() == rest


@given(messages)
def test_every_message_fits_into_a_line(message: Message) -> None:
    assert len(encode(message)) <= MAX_LINE_BYTES


def test_the_form_is_that_of_the_documentation() -> None:
    assert encode(Want(5.0)) == b'{"want":{"seconds":5.0}}\n'
    assert encode(Load("down", "6a0f")) == b'{"load":{"direction":"down","test":"6a0f"}}\n'
    assert encode(Sent(10, None)) == b'{"sent":{"segments":10,"resent":null}}\n'


def test_keys_of_a_later_version_are_ignored() -> None:
    assert decode_untrusted(b'{"ask":{"number":1,"more":[1]}}') == Ask(1)


@given(st.binary(max_size=100))
def test_any_bytes_are_a_message_or_refused(data: bytes) -> None:
    with contextlib.suppress(LineFaultError):
        decode_untrusted(data)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=80),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=5,
)


@given(st.sampled_from(sorted(KINDS)), st.dictionaries(st.sampled_from(sorted(READERS)), values))
def test_any_values_are_in_range_or_refused(name: str, holds: dict[str, object]) -> None:
    with contextlib.suppress(LineFaultError):
        message = decode_untrusted(json.dumps({name: holds}).encode())
        assert decode_untrusted(encode(message)) == message


@pytest.mark.parametrize(
    "line",
    [b"", b"null", b"[]", b"{}", b'{"ask":{}}', b'{"ask":{"number":true}}', b'{"ask":{"number":-1}}',
     b'{"ask":{"number":1.5}}', b'{"want":{"seconds":NaN}}', b'{"want":{"seconds":Infinity}}',
     b'{"want":{"seconds":1e400}}', b'{"want":{"seconds":"5"}}',
     b'{"want":{"seconds":' + b"9" * 400 + b"}}", b'{"load":{"direction":"out","test":"x"}}',
     b'{"load":{"direction":[],"test":"x"}}', b'{"begun":{"test":"\\u001b[1m","seconds":1}}',
     b'{"ask":{"number":1},"answer":{"number":1}}', b"[" * 4000, b'{"ask":{"number":' + b"9" * 4000 + b"}}"],
)  # fmt: skip
def test_what_is_not_a_message(line: bytes) -> None:
    with pytest.raises(LineFaultError):
        decode_untrusted(line)


def test_a_line_that_does_not_end_is_refused_in_time() -> None:
    lines = Lines()
    lines.feed(b"x" * (MAX_LINE_BYTES - 1))
    assert lines.next() is None
    lines.feed(b"x")
    with pytest.raises(LineFaultError):
        lines.next()
