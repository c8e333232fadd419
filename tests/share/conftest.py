import logging
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from toxvpn.config.options import ClientOptions
from toxvpn.share.rendezvous import Rendezvous
from toxvpn.testing.forward_pair import ForwardPair
from toxvpn.testing.remote_pair import RemotePair
from toxvpn.testing.shared_node import ID, Commands, Running


@pytest.fixture(autouse=True)
def _the_log_is_as_before() -> Iterator[None]:
    """Restore the log, which a node takes over, as it usually is a process of its own."""
    logger = logging.getLogger("toxvpn")
    handlers, level, propagate = logger.handlers[:], logger.level, logger.propagate
    yield
    logger.handlers[:], logger.propagate = handlers, propagate
    logger.setLevel(level)


@pytest.fixture
def options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ClientOptions:
    """The options of a command that names nothing but its server."""
    for name in [name for name in os.environ if name.startswith("TOXVPN_")]:
        monkeypatch.delenv(name)
    return ClientOptions(server=ID, directory=tmp_path / "kept")


@pytest.fixture
def rendezvous(options: ClientOptions) -> Rendezvous:
    return Rendezvous(options)


@pytest.fixture
async def pair() -> AsyncIterator[ForwardPair]:
    async with ForwardPair() as made:
        yield made


@pytest.fixture
async def remote() -> AsyncIterator[RemotePair]:
    """Its server listens on loopback for whom asks."""
    async with RemotePair("localhost:*") as made:
        yield made


@pytest.fixture
async def running(pair: ForwardPair, rendezvous: Rendezvous) -> AsyncIterator[Running]:
    async with Running(pair, rendezvous) as made:
        yield made


@pytest.fixture
async def commands(options: ClientOptions) -> AsyncIterator[Commands]:
    assert options.directory is not None
    made = Commands(options.directory)
    yield made
    await made.close()
