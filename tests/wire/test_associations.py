"""What peers say about UDP associations: read back as it was written, and nothing else accepted."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toxvpn.wire.associations import (
    LAST_NUMBER,
    Associate,
    Associated,
    AssociationEnded,
    Message,
    decode,
    encode,
)
from toxvpn.wire.jsonlines import MAX_LINE_BYTES, JsonLines, LineFaultError, encode_line
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
    line = encode_line(encode(message))
    assert len(line) <= MAX_LINE_BYTES
    [read] = JsonLines().receive(line)
    assert decode(read) == message


@given(
    st.dictionaries(
        st.sampled_from(["open", "opened", "ended", "host", "port", "from", "at", "code"]),
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats()
        | st.text(max_size=9)
        | st.lists(st.integers()),
    )
)
def test_anything_else_is_refused(line: dict[str, Any]) -> None:
    try:
        message = decode(line)
    except LineFaultError:
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
    with pytest.raises(LineFaultError):
        decode(fields)


def test_a_reason_of_a_later_version_is_a_failure() -> None:
    assert decode({"ended": 1, "code": 99}) == AssociationEnded(1, ReplyCode.GENERAL_FAILURE)
