"""JSON objects, one a line, cut anywhere; what is none ends the stream."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toxvpn.wire.jsonlines import MAX_LINE_BYTES, JsonLines, LineFaultError, encode_line

objects = st.dictionaries(st.text(max_size=8), st.integers() | st.text(max_size=20), max_size=4)


@given(st.lists(objects, max_size=6), st.integers(1, 40))
def test_lines_arrive_whole_however_they_are_cut(sent: list[dict[str, object]], piece_bytes: int) -> None:
    data = b"".join(map(encode_line, sent))
    lines, found = JsonLines(), []
    for start in range(0, len(data), piece_bytes):
        found += lines.receive(data[start : start + piece_bytes])
    assert found == sent


@given(st.binary(max_size=200))
def test_whatever_comes_is_an_object_or_a_fault(data: bytes) -> None:
    lines = JsonLines()
    try:
        found = lines.receive(data)
    except LineFaultError:
        return
    assert all(isinstance(each, dict) for each in found)


@pytest.mark.parametrize(
    "data", [b"1\n", b"[]\n", b"\n", b"\xff\n", b"{\n", b"[" * 4000 + b"\n", b"NaN\n", b'"a"\n']
)
def test_a_line_that_is_no_object(data: bytes) -> None:
    with pytest.raises(LineFaultError, match="not a JSON object"):
        JsonLines().receive(data)


def test_a_line_has_a_longest_size_and_an_unfinished_one_too() -> None:
    longest = json.dumps({"a": "x" * (MAX_LINE_BYTES - 10)}).encode() + b"\n"
    assert len(longest) == MAX_LINE_BYTES
    lines = JsonLines()
    assert lines.receive(longest + longest)
    for data in (b" " + longest, b"x" * MAX_LINE_BYTES):
        with pytest.raises(LineFaultError, match="more than 4096 bytes"):
            JsonLines().receive(data)
