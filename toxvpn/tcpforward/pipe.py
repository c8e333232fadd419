"""Pipe mode: stdin and stdout are the local end, for ssh's ProxyCommand."""

import sys

from ..errors import LinkError, ToxvpnError
from .client import Client
from .ends import StdioEnd
from .road import Ending
from .spec import Target


async def run(client: Client, target: Target) -> None:
    """Returns when the stream has ended well. Raises LinkError (exit 255) when it has not."""
    if sys.stdin is None or sys.stdout is None:  # their numbers may be something else's by now
        raise LinkError(f"{target}: stdin or stdout is closed, and -P ties both to the target; open them")
    try:
        stream = await client.open(target)
    except ToxvpnError as failure:
        raise LinkError(f"{target}: {failure}") from failure
    if await stream.relay(StdioEnd()) is not Ending.CLEAN:
        raise LinkError(f"{target}: the connection broke")
