"""The port in ssh's arguments; its destination: test_ssh.py."""

import pytest

from toxvpn.cli.ssh_words import typed_port


@pytest.mark.parametrize(
    ("options", "end", "port"),
    [
        ((), "", 22),
        (("-p", "2222"), "", 2222),
        (("-p2222",), "", 2222),
        (("-vp", "2222"), "", 2222),
        (("-lp", "-v"), "", 22),
        (("-p", "2222"), ":3333", 3333),
        (("-p",), "", 22),
        (("-p", "ssh"), "", 22),
    ],
)
def test_the_port_that_was_typed(options: tuple[str, ...], end: str, port: int) -> None:
    assert typed_port(options, end) == port
