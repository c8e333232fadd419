import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toxvpn import errors
from toxvpn.control.protocol import (
    BadRequestError,
    ControlRequest,
    LineReader,
    decode_answer,
    decode_request,
    encode_error,
    encode_request,
    encode_result,
)
from toxvpn.errors import ToxvpnError

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


@given(st.text(), st.dictionaries(st.text().filter(lambda name: name != "do"), values))
def test_requests_survive(do: str, arguments: dict[str, object]) -> None:
    line = encode_request(ControlRequest(do, arguments))
    assert line.count(b"\n") == 1 and line.endswith(b"\n")
    assert decode_request(line) == ControlRequest(do, arguments)


@given(values)
def test_results_survive(result: object) -> None:
    line = encode_result(result)
    assert line.count(b"\n") == 1
    assert decode_answer(line) == result


KINDS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, ToxvpnError)]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: str(kind.__name__))
def test_errors_survive_with_their_exit_code_in_one_line(kind: type[ToxvpnError]) -> None:
    line = encode_error(kind("what,\n why"))
    assert json.loads(line) == {"ok": False, "error": "what, why", "exit_code": kind.exit_code}
    with pytest.raises(ToxvpnError) as caught:
        decode_answer(line)
    assert str(caught.value) == "what, why"
    expected = ToxvpnError.exit_code if kind is errors.LinkError else kind.exit_code
    assert caught.value.exit_code == expected  # only the client's own pipe can break


GARBAGE = [
    b"",
    b"\xff\xfe",
    b"{",
    b"[]",
    b'"status"',
    b"{}",
    b'{"do": 5}',
    b'{"do": null}',
    b'{"do": "x", "y": NaN}',
    b"[" * 60_000,
    b'{"do":' * 10_000,
    b'{"do": "x", "y": ' + b"1" * 5000 + b"}",
]


@pytest.mark.parametrize("line", GARBAGE, ids=range(len(GARBAGE)))
def test_garbage_is_a_bad_request_and_no_answer(line: bytes) -> None:
    with pytest.raises(BadRequestError):
        decode_request(line)
    with pytest.raises(ToxvpnError, match="cannot understand"):
        decode_answer(line)


@given(st.binary())
def test_no_bytes_do_worse(line: bytes) -> None:
    try:
        decode_request(line)
    except BadRequestError as error:
        assert "\n" not in str(error)


def test_arguments_are_checked_when_they_are_used() -> None:
    request = ControlRequest(
        "x", {"t": "text", "n": 1, "f": 0.5, "b": True, "l": ["a"], "neg": -1, "mixed": ["a", 1]}
    )
    assert (request.text("t"), request.optional_text("none")) == ("text", None)
    assert (request.optional_number("n"), request.optional_number("f")) == (1.0, 0.5)
    assert request.optional_number("none") is None
    assert (request.flag("b"), request.flag("none")) == (True, False)
    assert (request.texts("l"), request.texts("none")) == (["a"], [])
    for wrong in (
        lambda: request.text("n"),
        lambda: request.text("none"),
        lambda: request.optional_text("b"),
        lambda: request.optional_number("t"),
        lambda: request.optional_number("b"),
        lambda: request.optional_number("neg"),
        lambda: request.flag("n"),
        lambda: request.texts("t"),
        lambda: request.texts("mixed"),
    ):
        with pytest.raises(BadRequestError):
            wrong()


@given(st.lists(st.binary(max_size=20).map(lambda line: line.replace(b"\n", b"")), max_size=5), st.data())
def test_lines_are_the_same_however_they_arrive(lines: list[bytes], data: st.DataObject) -> None:
    whole = b"".join(line + b"\n" for line in lines)
    cutter, found = LineReader(20), []
    while whole:
        size = data.draw(st.integers(1, len(whole)))
        found += cutter.feed(whole[:size])
        whole = whole[size:]
    assert found == lines


@pytest.mark.parametrize("data", [b"x" * 21, b"x" * 21 + b"\n", b"ok\n" + b"x" * 21])
def test_a_line_that_grows_too_long(data: bytes) -> None:
    with pytest.raises(BadRequestError, match="longer than 20"):
        LineReader(20).feed(data)


def test_the_bound_counts_across_feeds() -> None:
    cutter = LineReader(20)
    cutter.feed(b"x" * 15)
    with pytest.raises(BadRequestError):
        cutter.feed(b"x" * 15)
