from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from toxvpn.cli import main, root
from toxvpn.config import ClientOptions, ServerOptions


@dataclass
class Ran:
    """What one command line came to."""

    code: int
    out: str
    err: str
    started: list[ServerOptions | ClientOptions] = field(default_factory=list)

    @property
    def options(self) -> ServerOptions | ClientOptions:
        (options,) = self.started
        return options


Toxvpn = Callable[..., Ran]


@pytest.fixture
def toxvpn(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Toxvpn:
    """Runs a command line up to the point where the daemon would start, which is recorded instead."""
    for name in ("TOXVPN_SHARED_SECRET", "TUNTOX_SHARED_SECRET"):
        monkeypatch.delenv(name, raising=False)

    def run(*arguments: object) -> Ran:
        started: list[ServerOptions | ClientOptions] = []
        monkeypatch.setattr(root, "start", started.append)
        code = main.run([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return Ran(code, out, err, started)

    return run
