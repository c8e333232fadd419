"""Asks a PostgreSQL that only the peer can reach, with asyncpg, by a local port that leads there.

TOXVPN_SHARED_SECRET=<secret> python query.py <ToxID> 'select version()'
"""

import asyncio
import os
import sys

import asyncpg

import toxvpn


async def main(tox_id: str, query: str) -> None:
    async with toxvpn.node() as node:
        peer = node.peer(tox_id, secret=os.environ.get("TOXVPN_SHARED_SECRET"))
        await peer.connected()
        async with node.listen(peer, "localhost", 5432) as forward:
            database = await asyncpg.connect(host=forward.host, port=forward.port, user="postgres")
            for row in await database.fetch(query):
                print(*row)
            await database.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
