"""A secret that got around: who is told, once, and what renewing it does."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from toxvpn.control.client import call as ask
from toxvpn.daemon import daemon
from toxvpn.errors import UsageError
from toxvpn.members import friends, peers
from toxvpn.members.friends import FriendBook, Grant
from toxvpn.members.peers import ConfiguredPeer
from toxvpn.process.lifecycle import Lifecycle
from toxvpn.testing.fake_nodes import until
from toxvpn.testing.options import server_options

BOX, GUEST = bytes([7]) * 32, bytes([8]) * 32
OLD = "the secret of an older version"

Serve = Callable[..., Any]


@pytest.fixture
def serve(runs: Any, tmp_path: Path, nodes_file: Path, lifecycle: Lifecycle) -> Serve:
    """`toxvpn` from its start until it is asked a question, whose answer is returned."""

    async def serve(do: str, secret: bytes | None = None) -> Any:
        options = server_options(directory=tmp_path, nodes_file=nodes_file, secret=secret)
        running = runs(daemon.serve(options, lifecycle))
        await until(lambda: (tmp_path / "control.sock").exists() or running.done())
        try:
            return await asyncio.to_thread(ask, tmp_path, do)
        finally:
            running.cancel()
            await asyncio.wait([running])

    return serve


def kept_by_an_older_version(directory: Path, *called: ConfiguredPeer) -> None:
    (directory / "secret").touch(0o600)
    (directory / "secret").write_text(f"{OLD}\n")
    peers.save(directory, {peer.public_key: peer for peer in called})
    book = FriendBook()
    book.authorise(GUEST, Grant.SECRET, 2e9, secret=OLD.encode())
    friends.save(directory, book)
    path = directory / "friends.json"
    document = json.loads(path.read_text())
    del document[friends.SECRET_STAYS]
    path.write_text(json.dumps(document))


async def test_who_may_be_affected_is_told_once(
    serve: Serve, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    kept_by_an_older_version(tmp_path, ConfiguredPeer(BOX, b"spam", "box"), ConfiguredPeer(bytes(32)))
    await serve("status")
    assert "may have sent the secret that lets others in here to the peers it called (box)" in caplog.text
    assert "`toxvpn secret renew`" in caplog.text and OLD not in caplog.text
    assert "box may use what this machine serves" in caplog.text
    caplog.clear()
    await serve("status")
    assert "may have sent" not in caplog.text


async def test_where_it_was_typed_another_one_is_to_be(
    serve: Serve, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    kept_by_an_older_version(tmp_path, ConfiguredPeer(BOX, b"spam", "box"))
    await serve("status", b"typed")
    assert "start it with another secret" in caplog.text


@pytest.mark.parametrize("called", [[], [ConfiguredPeer(bytes(32))]])
async def test_who_called_nobody_is_not_alarmed(
    serve: Serve, tmp_path: Path, caplog: pytest.LogCaptureFixture, called: list[ConfiguredPeer]
) -> None:
    kept_by_an_older_version(tmp_path, *called)
    await serve("status")
    assert "may have sent" not in caplog.text


async def test_a_secret_that_was_not_there_cannot_be_out(
    serve: Serve, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    kept_by_an_older_version(tmp_path, ConfiguredPeer(BOX, b"spam", "box"))
    (tmp_path / "secret").unlink()
    await serve("status")
    assert "may have sent" not in caplog.text


async def test_renewing_shuts_out_who_came_by_the_old_one(serve: Serve, tmp_path: Path) -> None:
    kept_by_an_older_version(tmp_path, ConfiguredPeer(BOX, b"spam", "box"))
    answer = await serve("secret-renew")
    new = (tmp_path / "secret").read_text().strip()
    assert new != OLD and (tmp_path / "secret").stat().st_mode & 0o777 == 0o600
    assert f"TOXVPN_SHARED_SECRET={new}" in answer["shown"]
    assert new not in answer["hidden"] and str(tmp_path / "secret") in answer["hidden"]
    book = friends.load(tmp_path)
    assert set(book) == {BOX} and not book.secret_is_out


async def test_only_what_toxvpn_made_is_renewed(serve: Serve, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="start it with another secret"):
        await serve("secret-renew", b"typed")
    assert not (tmp_path / "secret").exists()
