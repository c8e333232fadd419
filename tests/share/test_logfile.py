"""The shared node's own log: found again, bounded, and never in the way."""

import logging
import os
from pathlib import Path

import pytest

from toxvpn.share import logfile
from toxvpn.share.logrelay import NodeLogRelay


def test_what_a_node_says_is_kept_though_no_command_listens(tmp_path: Path) -> None:
    NodeLogRelay(logfile.open_log_file(tmp_path))
    logging.getLogger("toxvpn.share").info("peer %s", "ABCD")
    logging.getLogger("toxvpn.share").debug("too much")
    path = tmp_path / logfile.LOG_NAME
    lines = path.read_text().splitlines()
    assert len(lines) == 1 and lines[0].endswith(f" toxvpn-shared[{os.getpid()}] INFO: peer ABCD")
    assert path.stat().st_mode & 0o777 == 0o600


def test_two_files_of_bounded_size_with_the_latest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logfile, "LIMIT_BYTES", 1000)
    NodeLogRelay(logfile.open_log_file(tmp_path))
    for number in range(200):
        logging.getLogger("toxvpn").info("line %d", number)
    assert {path.name for path in tmp_path.iterdir()} == {"shared.log", "shared.log.1"}
    assert all(path.stat().st_size < 1200 for path in tmp_path.iterdir())
    assert "line 199\n" in (tmp_path / "shared.log").read_text()


@pytest.mark.parametrize("planted", ["link", "fifo"])
def test_it_writes_to_no_file_of_others(tmp_path: Path, planted: str) -> None:
    (tmp_path / "victim").write_bytes(b"mine")
    path = tmp_path / logfile.LOG_NAME
    path.symlink_to(tmp_path / "victim") if planted == "link" else os.mkfifo(path)
    NodeLogRelay(logfile.open_log_file(tmp_path))
    logging.getLogger("toxvpn").warning("said to nobody")
    assert (tmp_path / "victim").read_bytes() == b"mine"


def test_without_a_place_there_is_none(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    assert logfile.open_log_file(tmp_path / "file") is None
