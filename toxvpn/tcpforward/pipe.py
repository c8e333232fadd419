"""Pipe mode: stdin and stdout are the local end, for ssh's ProxyCommand."""

from collections.abc import Awaitable, Callable

from ..errors import LinkError, ToxvpnError
from .caller import Caller
from .ends import End, StdioEnd, check_stdio
from .road import Ending
from .spec import Target


async def run(caller: Caller, target: Target) -> None:
    """Returns when the stream has ended cleanly; raises LinkError (exit 255) when it did not.

    Its message is empty when the reader of stdout has gone, as ssh has when its session is over: there is
    nobody to tell. (What SIGPIPE ends says nothing either.)
    """
    check_stdio(str(target))

    async def ours() -> End:
        return StdioEnd()

    await carry(caller, target, ours)


async def carry(caller: Caller, target: Target, take: Callable[[], Awaitable[End]]) -> None:
    """`take` gives the local end, once there is a stream for it. Raises LinkError, and what `take` raises."""
    try:
        stream = await caller.open(target)
    except ToxvpnError as failure:
        raise LinkError(f"{target}: {failure}") from failure
    try:
        end = await take()
    except BaseException:
        stream.abort()
        raise
    if await stream.relay(end) is not Ending.CLEAN:
        read = not (isinstance(end, StdioEnd) and end.reader_has_gone)
        raise LinkError(f"{target}: the connection broke" if read else "")
