"""An ordinary proxy, SOCKS5 (RFC 1928) and HTTP CONNECT on one port: `proxy.py PORT`."""

import asyncio
import contextlib
import sys
from ipaddress import ip_address


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError, asyncio.IncompleteReadError):
        first = await reader.readexactly(1)
        host, port, granted = await (socks5 if first == b"\x05" else connect)(first, reader, writer)
        there, onward = await asyncio.open_connection(host, port)
        writer.write(granted)
        await asyncio.gather(carry(reader, onward), carry(there, writer))
    writer.close()


async def socks5(
    _: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> tuple[str, int, bytes]:
    await reader.readexactly((await reader.readexactly(1))[0])
    writer.write(b"\x05\x00")
    family = (await reader.readexactly(4))[3]
    if family == 3:
        host = (await reader.readexactly((await reader.readexactly(1))[0])).decode()
    else:
        host = str(ip_address(await reader.readexactly(4 if family == 1 else 16)))
    port = int.from_bytes(await reader.readexactly(2))
    return host, port, b"\x05\x00\x00\x01" + bytes(6)


async def connect(
    first: bytes, reader: asyncio.StreamReader, _: asyncio.StreamWriter
) -> tuple[str, int, bytes]:
    request = (first + await reader.readuntil(b"\r\n\r\n")).decode()
    method, place, _version = request.splitlines()[0].split()
    assert method == "CONNECT"
    host, _colon, port = place.rpartition(":")
    return host.strip("[]"), int(port), b"HTTP/1.1 200 Connection established\r\n\r\n"


async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


async def main(port: int) -> None:
    server = await asyncio.start_server(serve, "0.0.0.0", port)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
