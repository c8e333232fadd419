import os
import socket
import stat
from pathlib import Path

import pytest

from toxvpn.control import socketfile
from toxvpn.control.socketfile import SOCKET_NAME, connect, credentials, listen
from toxvpn.errors import ConfigError, ToxvpnError


@pytest.fixture(params=["short", "long"])
def directory(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    found = tmp_path if request.param == "short" else tmp_path / ("x" * 100) / ("y" * 100)
    found.mkdir(parents=True, exist_ok=True)
    return found


def test_it_is_private_and_answers(directory: Path) -> None:
    before = os.umask(0)
    try:
        listener = listen(directory)
    finally:
        os.umask(before)
    with listener, connect(directory, 5) as client:
        assert stat.S_IMODE((directory / SOCKET_NAME).stat().st_mode) == 0o600
        served, _ = listener.accept()
        with served:
            assert credentials(served).uid == credentials(client).uid == os.geteuid()
            assert credentials(client).pid == os.getpid()


def test_one_that_is_served_is_not_replaced(directory: Path) -> None:
    with listen(directory) as listener:
        with pytest.raises(ToxvpnError, match="another toxvpn runs with"):
            listen(directory)
        connect(directory, 5).close()
        listener.accept()[0].close()


def test_one_whose_server_is_too_busy_is_not_replaced(directory: Path) -> None:
    with listen(directory) as listener:
        listener.listen(0)
        with connect(directory, 5), pytest.raises(ToxvpnError, match="another toxvpn runs with"):
            listen(directory)


def test_a_stale_one_is_replaced(directory: Path) -> None:
    listen(directory).close()
    with listen(directory), connect(directory, 5):
        pass


def test_something_else_of_that_name_is_left_alone(directory: Path) -> None:
    (directory / SOCKET_NAME).write_text("precious")
    with pytest.raises(ConfigError, match="is not a socket"):
        listen(directory)
    assert (directory / SOCKET_NAME).read_text() == "precious"


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / SOCKET_NAME).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigError, match="is not a socket"):
        listen(tmp_path)


def test_nor_by_who_asks(tmp_path: Path) -> None:
    """Root is not led to a socket that is only root's."""
    (tmp_path / "elsewhere").mkdir()
    with listen(tmp_path / "elsewhere"):
        (tmp_path / SOCKET_NAME).symlink_to(tmp_path / "elsewhere" / SOCKET_NAME)
        with pytest.raises(ConnectionRefusedError):
            connect(tmp_path, 5)


def test_only_ones_own_socket_is_removed(tmp_path: Path) -> None:
    listen(tmp_path).close()
    old = socketfile.identify(tmp_path / SOCKET_NAME)
    socketfile.remove(tmp_path, (old[0], old[1] + 1))
    assert (tmp_path / SOCKET_NAME).exists()
    socketfile.remove(tmp_path, old)
    assert not (tmp_path / SOCKET_NAME).exists()
    socketfile.remove(tmp_path, old)


def test_no_descriptor_is_left_behind(directory: Path) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    listen(directory).close()
    with pytest.raises(ConnectionRefusedError):
        connect(directory, 5)
    (directory / SOCKET_NAME).unlink()
    with pytest.raises(FileNotFoundError):
        connect(directory, 5)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_directory_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ToxvpnError, match="cannot create the control socket"):
        listen(tmp_path / "none")
    with pytest.raises(FileNotFoundError):
        connect(tmp_path / ("none" * 40), 5)


def test_an_unrelated_socket_type_is_not_used(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
        other.bind(str(tmp_path / SOCKET_NAME))
        with pytest.raises(ToxvpnError, match="cannot create the control socket"):
            listen(tmp_path)
