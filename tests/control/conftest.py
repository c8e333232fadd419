import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from toxvpn.control import client
from toxvpn.control.server import ControlServer

Ask = Callable[..., Any]


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[ControlServer]:
    made = ControlServer(tmp_path)
    await made.start()
    yield made
    made.close()


@pytest.fixture
def ask(server: ControlServer) -> Ask:
    """`await ask("status", ...)`: the blocking client, beside the server's loop."""

    async def call(do: str, **arguments: Any) -> Any:
        return await asyncio.to_thread(client.call, server.directory, do, **arguments)

    return call
