import socket
import threading
from collections.abc import Iterator

import pytest

from toxvpn.errors import ToxvpnError
from toxvpn.trial.machines import LOOPBACK, Machine
from toxvpn.trial.steps import Story, fetch, free_port

HERE = Machine("laptop", LOOPBACK)


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that is in use."""
    with socket.create_server((LOOPBACK, 0)) as server:
        yield server.getsockname()[1]


def test_each_step_has_the_time_since_the_one_before() -> None:
    lines: list[str] = []
    story = Story(lines.append, iter([10.0, 10.5, 12.75, 13.0]).__next__)
    story.result("ready")
    story.command(HERE, "toxvpn")
    story.result("connected")
    assert lines == ["        ready (0.5 s)", "laptop$ toxvpn", "        connected (2.2 s)"]
    assert story.took_s == 3.0


def test_another_port_where_the_wanted_one_is_taken(taken: int) -> None:
    found = free_port(HERE, taken)
    assert found not in (0, taken)
    assert free_port(HERE, found) == found


def answer_once(server: socket.socket, answer: bytes) -> None:
    with server.accept()[0] as connection:
        connection.recv(1024)
        connection.sendall(answer)


def test_another_answer_than_the_page_is_an_error_too() -> None:
    with socket.create_server((LOOPBACK, 0)) as server:
        answer = b"HTTP/1.0 404 Not found\r\n\r\nno page"
        thread = threading.Thread(target=answer_once, args=(server, answer))
        thread.start()
        with pytest.raises(ToxvpnError, match="the page could not be fetched: 404 Not found"):
            fetch(server.getsockname()[1])
        thread.join()


def test_a_fetch_that_fails_is_an_error_of_ours(taken: int) -> None:
    with socket.create_server((LOOPBACK, 0)) as server:
        gone = server.getsockname()[1]
    with pytest.raises(ToxvpnError, match=r"the page could not be fetched through the connection: .*refused"):
        fetch(gone)
