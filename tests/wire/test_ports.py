import pytest

from toxvpn.wire.ports import parse_port, parse_port_range


@pytest.mark.parametrize(("text", "port"), [("1", 1), ("0443", 443), ("65535", 65535)])
def test_a_port(text: str, port: int) -> None:
    assert parse_port(text) == port


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the port is missing"),
        ("http", "the port 'http' is not a number"),
        ("-1", "the port '-1' is not a number"),
        ("\N{SUPERSCRIPT TWO}", "is not a number"),
        ("\N{ARABIC-INDIC DIGIT ONE}", "is not a number"),
        ("0", "port 0 is out of range: 1 to 65535"),
        ("65536", "port 65536 is out of range: 1 to 65535"),
        ("9" * 5000, "is out of range"),
    ],
)
def test_what_is_not_a_port(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_port(text)


@pytest.mark.parametrize(("text", "ports"), [("1:2", (1, 2)), ("33445", (33445, 33445)), ("7:7", (7, 7))])
def test_a_range(text: str, ports: tuple[int, int]) -> None:
    assert parse_port_range(text) == ports


@pytest.mark.parametrize("text", ["", ":", "1:", ":1", "2:1", "0:1", "1:65536", "1:2:3", "1-2"])
def test_what_is_not_a_range(text: str) -> None:
    with pytest.raises(ValueError):
        parse_port_range(text)
