"""Streams behave as those of asyncio, on both roads: bytes, ends, resets, and nothing left behind."""

import asyncio
from random import Random

import pytest

from toxvpn.api import transport

from .conftest import PORT, Pair, in_time

pytestmark = pytest.mark.asyncio(loop_scope="module")
PIECE = Random(1).randbytes(65536)
MORE_THAN_FITS = 96 * 1024 * 1024
"""The kernel alone holds up to 48 MiB for one connection (tcp_rmem and tcp_wmem)."""


async def test_bytes_go_both_ways_to_an_orderly_end(pair: Pair) -> None:
    (reader, writer), (far_reader, far_writer) = await in_time(pair.open())
    writer.write(b"question")
    assert await in_time(far_reader.read(100)) == b"question"
    writer.write_eof()
    assert await in_time(far_reader.read()) == b""
    far_writer.write(b"answer")
    far_writer.close()
    assert await in_time(reader.read()) == b"answer"
    writer.close()
    await in_time(writer.wait_closed())
    await in_time(far_writer.wait_closed())


async def test_the_peer_is_known(pair: Pair) -> None:
    (_, writer), (_, far_writer) = await in_time(pair.open())
    assert writer.get_extra_info("peer") is pair.peer
    assert far_writer.get_extra_info("peer").key == pair.client.id[:64]


@pytest.mark.parametrize("ended", [False, True], ids=["open", "half-closed"])
async def test_a_reset_of_the_peer_is_one(pair: Pair, ended: bool) -> None:
    (reader, writer), (far_reader, far_writer) = await in_time(pair.open())
    if ended:
        writer.write_eof()
        assert await in_time(far_reader.read()) == b""
    far_writer.transport.abort()
    with pytest.raises(ConnectionResetError):
        await in_time(reader.read())
    with pytest.raises(ConnectionResetError):
        await in_time(writer.wait_closed())


@pytest.mark.parametrize("ended", [False, True], ids=["open", "half-closed"])
async def test_a_reset_of_ours_is_one_for_the_peer(pair: Pair, ended: bool) -> None:
    (reader, writer), (far_reader, far_writer) = await in_time(pair.open())
    if ended:
        far_writer.write_eof()
        assert await in_time(reader.read()) == b""
    writer.transport.abort()
    with pytest.raises(ConnectionResetError):
        await in_time(far_reader.read())


async def test_who_writes_is_slowed_down_by_who_does_not_read(pair: Pair) -> None:
    (_, writer), (far_reader, far_writer) = await in_time(pair.open())
    enough = False
    written = 0

    async def write() -> None:
        nonlocal written
        while not enough and written < MORE_THAN_FITS:
            writer.write(PIECE)
            written += len(PIECE)
            await writer.drain()
        writer.close()

    writing = asyncio.create_task(write())
    before = -1
    while written > before:
        before = written
        await asyncio.sleep(0.2)
    assert written < MORE_THAN_FITS and not writing.done()
    enough = True
    assert await in_time(far_reader.read()) == PIECE * (written // len(PIECE))
    far_writer.close()
    await writing


async def test_a_reset_is_noticed_after_the_last_byte_too(pair: Pair) -> None:
    (reader, writer), (_, far_writer) = await in_time(pair.open())
    far_writer.write_eof()
    assert await in_time(reader.read()) == b""
    far_writer.transport.abort()
    with pytest.raises(ConnectionResetError):
        await in_time(writer.wait_closed())


async def test_a_stream_that_only_the_peer_keeps_open_is_reset(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "UNREAD_S", 0.1)
    (_, writer), (far_reader, far_writer) = await in_time(pair.open())
    writer.write(b"all")
    writer.close()
    assert await in_time(far_reader.read()) == b"all"
    with pytest.raises(ConnectionResetError):
        await in_time(far_writer.wait_closed())


async def test_a_handler_that_fails_resets_its_stream(pair: Pair) -> None:
    told: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.readline())
        raise LookupError("on purpose")

    async with await pair.server.start_server(handler, PORT + 1) as server:
        reader, writer = await in_time(pair.client.open_connection(pair.peer, "localhost", server.port))
        writer.write(b"half\n")
        with pytest.raises(ConnectionResetError):
            await in_time(reader.read())
            await in_time(reader.read())
    assert [str(each["exception"]) for each in told] == ["on purpose"]


async def test_a_peer_that_resets_does_not_fill_the_log(pair: Pair) -> None:
    told: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"x")
        await reader.readexactly(100)

    async with await pair.server.start_server(handler, PORT + 1) as server:
        for _ in range(2):
            reader, writer = await in_time(pair.client.open_connection(pair.peer, "localhost", server.port))
            assert await in_time(reader.read(1)) == b"x"
            writer.transport.abort()
    assert told == []


async def test_a_local_port_leads_to_the_peer(pair: Pair) -> None:
    async with pair.client.listen(pair.peer, "localhost", PORT) as forward:
        reader, writer = await in_time(asyncio.open_connection(forward.host, forward.port))
        writer.write(b"hello")
        far_reader, far_writer = await pair.accepted()
        assert await in_time(far_reader.read(100)) == b"hello"
        far_writer.transport.abort()
        with pytest.raises(ConnectionResetError):
            await in_time(reader.read())
        writer.close()
    with pytest.raises(OSError):
        await asyncio.open_connection(forward.host, forward.port)
