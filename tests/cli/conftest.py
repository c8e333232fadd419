import contextlib
import logging
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from toxvpn.cli import config_flag, logs, main, root, up
from toxvpn.cli import exec as exec_verb
from toxvpn.cli import run as run_verb
from toxvpn.config.flags import DaemonOptions
from toxvpn.config.options import ClientOptions

from .config_example import TEXT


@dataclass
class Ran:
    """The outcome of one command line."""

    code: int
    out: str
    err: str
    started: list[DaemonOptions | ClientOptions] = field(default_factory=list)

    @property
    def options(self) -> DaemonOptions | ClientOptions:
        (options,) = self.started
        return options

    @property
    def secret(self) -> bytes | None:
        options = self.options
        return options.source.secret if isinstance(options, DaemonOptions) else options.secret


Toxvpn = Callable[..., Ran]


@dataclass
class Syslog:
    """The records that come to /dev/log."""

    server: socket.socket

    def records(self) -> list[str]:
        records = []
        with contextlib.suppress(BlockingIOError):
            while True:
                records.append(self.server.recv(4096).decode())
        return records


@pytest.fixture
def syslog(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Syslog]:
    """A syslog of the test's own, in place of the machine's."""
    path = tmp_path_factory.mktemp("syslog") / "log"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(str(path))
        server.setblocking(False)
        monkeypatch.setattr(logs, "SYSLOG_SOCKET", path)
        yield Syslog(server)


@pytest.fixture
def toxvpn(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    syslog: Syslog,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Toxvpn]:
    """Runs a command line up to the point where the daemon would start, which is recorded instead.

    Without -C there is no configuration, whatever this machine has.
    """
    nowhere = tmp_path_factory.mktemp("config")
    monkeypatch.setattr(config_flag, "find_config", lambda directory: directory or nowhere)
    for name in ("TOXVPN_SHARED_SECRET", "TUNTOX_SHARED_SECRET", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)

    def run(*arguments: object) -> Ran:
        started: list[DaemonOptions | ClientOptions] = []
        monkeypatch.setattr(root, "start", started.append)
        monkeypatch.setattr(up, "start", started.append)
        monkeypatch.setattr(run_verb, "start", started.append)
        monkeypatch.setattr(exec_verb, "start", started.append)
        code = main.run([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return Ran(code, out, err, started)

    yield run
    logger = logging.getLogger("toxvpn")  # what it logs to is this test's stderr
    for handler in list(logger.handlers):
        logger.removeHandler(handler)
        handler.close()
    logger.propagate = True
    logger.setLevel(logging.NOTSET)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory for -C, where nothing runs; who looks for a daemon does not wait for it."""
    for module in ("ask.STARTING_S", "wait.START_S"):
        monkeypatch.setattr(f"toxvpn.cli.{module}", 0.0)
    return tmp_path / "here"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A directory for -C with a config.toml and the secret that it names."""
    (tmp_path / "config.toml").write_text(TEXT)
    (tmp_path / "box.secret").touch(0o600)
    (tmp_path / "box.secret").write_text("of the box\n")
    return tmp_path
