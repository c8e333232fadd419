"""What peers say about UDP associations: read back as it was written, and nothing else accepted."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toxvpn.wire.associations import (
    LAST_NUMBER,
    MAX_LINE_BYTES,
    Associate,
    Associated,
    AssociationEnded,
    BadAssociationError,
    Message,
    decode,
    encode,
)
from toxvpn.wire.socks5 import ReplyCode

NUMBERS = st.integers(0, LAST_NUMBER)
PORTS = st.integers(1, 65535)
MESSAGES: st.SearchStrategy[Message] = st.one_of(
    st.builds(Associate, NUMBERS, st.text(max_size=255), PORTS, PORTS),
    st.builds(Associated, NUMBERS, PORTS),
    st.builds(AssociationEnded, NUMBERS, st.sampled_from(ReplyCode)),
)


@given(MESSAGES)
def test_what_is_written_is_read_back(message: Message) -> None:
    line = encode(message)
    assert line.count(b"\n") == 1 and len(line) <= MAX_LINE_BYTES
    assert decode(line) == message


@given(
    st.binary(max_size=200)
    | st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=9),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["open", "opened", "ended", "host", "port", "from", "at", "code"]), inner
            )
        ),
    ).map(lambda value: json.dumps(value).encode())
)
def test_anything_else_is_refused(line: bytes) -> None:
    try:
        message = decode(line)
    except BadAssociationError:
        return
    assert decode(encode(message)) == message


@pytest.mark.parametrize(
    "fields",
    [
        {"open": 1, "host": "dns", "port": 0, "from": 1},
        {"open": 1, "host": "dns", "port": 53, "from": 65536},
        {"open": True, "host": "dns", "port": 53, "from": 1},
        {"open": -1, "host": "dns", "port": 53, "from": 1},
        {"open": 1, "host": None, "port": 53, "from": 1},
        {"opened": 1},
        {"ended": 1, "code": "2"},
        {"closed": 1},
    ],
)
def test_each_field_is_checked(fields: dict[str, Any]) -> None:
    with pytest.raises(BadAssociationError):
        decode(json.dumps(fields).encode())


def test_a_reason_of_a_later_version_is_a_failure() -> None:
    assert decode(b'{"ended": 1, "code": 99}') == AssociationEnded(1, ReplyCode.GENERAL_FAILURE)


def test_a_line_is_not_longer_than_the_longest_message() -> None:
    with pytest.raises(BadAssociationError):
        decode(b" " * MAX_LINE_BYTES + encode(AssociationEnded(1)))


def test_a_deep_value_is_refused() -> None:
    with pytest.raises(BadAssociationError):
        decode(b'{"open":' + b"[" * (MAX_LINE_BYTES - 10))
