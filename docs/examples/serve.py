"""A service that peers reach by this program's Tox ID: no open port, no address, no account.

python serve.py
"""

import asyncio
import secrets

import toxvpn

PORT = 7000


async def shout(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Says the lines of a peer again, louder."""
    peer = writer.get_extra_info("peer")
    writer.write(f"you are {peer.key}\n".encode())
    async for line in reader:
        writer.write(line.upper())
        await writer.drain()
    writer.close()


async def main() -> None:
    secret = secrets.token_urlsafe()
    async with toxvpn.node(secret=secret) as node:
        await node.start_server(shout, PORT)
        print(f"TOXVPN_SHARED_SECRET={secret} python call.py {node.id}", flush=True)
        async for event in node.events():
            print(event, flush=True)


if __name__ == "__main__":
    asyncio.run(main())
