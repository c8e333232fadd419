"""Calls the service of serve.py.

TOXVPN_SHARED_SECRET=<secret> python call.py <ToxID>
"""

import asyncio
import os
import sys

import toxvpn


async def main(tox_id: str) -> None:
    async with toxvpn.node() as node:
        peer = node.peer(tox_id, secret=os.environ["TOXVPN_SHARED_SECRET"])
        reader, writer = await node.open_connection(peer, "localhost", 7000)
        print((await reader.readline()).decode(), end="")
        writer.write(b"hello\n")
        print((await reader.readline()).decode(), end="")
        writer.close()
        await writer.wait_closed()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
