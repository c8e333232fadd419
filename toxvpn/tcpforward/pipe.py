"""Pipe mode: stdin and stdout are the local end, for ssh's ProxyCommand."""

from ..errors import LinkError, ToxvpnError
from .client import Client
from .ends import StdioEnd
from .road import Ending
from .spec import Target


async def run(client: Client, target: Target) -> None:
    """Returns when the stream has ended well. Raises LinkError (exit 255) when it has not."""
    try:
        stream = await client.open(target)
    except ToxvpnError as failure:
        raise LinkError(f"{target}: {failure}") from failure
    if await stream.relay(StdioEnd()) is not Ending.CLEAN:
        raise LinkError(f"{target}: the connection broke")
