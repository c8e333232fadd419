"""asyncio's TLS works on a stream as on its own transports."""

import asyncio
import ssl
import subprocess
from pathlib import Path

import pytest

from .conftest import PORT, SECRET, MakeNode, in_time

MUCH = bytes(1 << 20)
NAME = "intranet.example"
OPENSSL = (
    *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
    *("-subj", f"/CN={NAME}", "-addext", f"subjectAltName=DNS:{NAME}", "-keyout", "key", "-out", "cert"),
)


@pytest.fixture
def certificate(tmp_path: Path) -> ssl.SSLContext:
    """The server's context, with a certificate of its own in `cert`."""
    subprocess.run(OPENSSL, cwd=tmp_path, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert", tmp_path / "key")
    return context


async def test_tls(make_node: MakeNode, certificate: ssl.SSLContext, tmp_path: Path) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await writer.start_tls(certificate)
        writer.write(await reader.readline() + MUCH)
        await writer.drain()
        if await reader.readline() == b"reset\n":
            writer.transport.abort()
        writer.close()

    ours = ssl.create_default_context(cafile=str(tmp_path / "cert"))
    async with make_node(secret=SECRET) as server, make_node() as client:
        await server.start_server(answer, PORT)
        peer = client.peer(server.id, secret=SECRET)
        for last in (b"close\n", b"reset\n"):
            reader, writer = await in_time(client.open_connection(peer, "localhost", PORT))
            await in_time(writer.start_tls(ours, server_hostname=NAME))
            assert writer.get_extra_info("peer") is peer
            writer.write(b"hello\n")
            assert await in_time(reader.readexactly(6 + len(MUCH))) == b"hello\n" + MUCH
            writer.write(last)
            if last == b"reset\n":
                with pytest.raises(ConnectionResetError):
                    await in_time(reader.read())
            else:
                assert await in_time(reader.read()) == b""
                writer.close()
        reader, writer = await in_time(client.open_connection(peer, "localhost", PORT))
        with pytest.raises(ssl.SSLCertVerificationError):
            await in_time(writer.start_tls(ours, server_hostname="another.example"))
        writer.close()
