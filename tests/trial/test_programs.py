"""A program's lines, given without a program."""

import asyncio
import subprocess
from typing import cast

import pytest

from toxvpn.errors import PeerOfflineError, ToxvpnError
from toxvpn.trial.programs import StartedProgram


def program(output: asyncio.StreamReader, shown: list[str]) -> StartedProgram:
    return StartedProgram("toxvpn on laptop", cast("subprocess.Popen[bytes]", None), output, shown.append)


async def test_a_line_that_has_come_and_one_that_comes() -> None:
    output, shown = asyncio.StreamReader(), list[str]()
    here = program(output, shown)
    output.feed_data(b"one\ntwo\n")
    assert (await here.wait_for("t(w)o", 5))[1] == "w"
    assert (await here.wait_for("one", 5))[0] == "one"
    waiting = asyncio.create_task(here.wait_for("three", 5))
    await asyncio.sleep(0)
    output.feed_data(b"three\n")
    assert (await waiting)[0] == "three"
    assert shown == ["one", "two", "three"]
    output.feed_eof()
    await here.reading


async def test_one_that_ends_before() -> None:
    output = asyncio.StreamReader()
    here = program(output, [])
    waiting = asyncio.create_task(here.wait_for("listening", 5))
    await asyncio.sleep(0)
    output.feed_data(b"a\nb\nthe port is in use\n")
    output.feed_eof()
    with pytest.raises(ToxvpnError, match=r"^toxvpn on laptop has ended: a; b; the port is in use$"):
        await waiting


async def test_one_that_takes_too_long() -> None:
    output = asyncio.StreamReader()
    here = program(output, [])
    with pytest.raises(PeerOfflineError, match=r"toxvpn on laptop did not get there in 0\.01 s: it has said"):
        await here.wait_for("listening", 0.01)
    output.feed_eof()
    await here.reading
