"""A TCP server to measure forwards with: `python -m bench.giver ADDRESS PORT`.

It costs little, also with 1000 clients. A client says in 8 bytes (big-endian) how many bytes it wants and
gets them; with 0 it gets back whatever it sends, until it ends.
"""

import contextlib
import os
import socket
import sys
import threading

LARGEST = 100_000_000
BACKLOG = 4096
BUFFER_BYTES = 256 * 1024  # a client that stalls shall fill what is between, not this program's buffer


def serve(client: socket.socket, zeros: int) -> None:
    with client, contextlib.suppress(OSError):
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER_BYTES)
        wanted = int.from_bytes(client.recv(8, socket.MSG_WAITALL))
        if wanted:
            give(client, zeros, wanted)
        else:
            while data := client.recv(1 << 16):
                client.sendall(data)


def give(client: socket.socket, zeros: int, count: int) -> None:
    given = 0
    while given < count:
        given += os.sendfile(client.fileno(), zeros, given, count - given)


def main() -> None:
    zeros = os.memfd_create("zeros")
    os.ftruncate(zeros, LARGEST)
    threading.stack_size(256 * 1024)
    with socket.create_server((sys.argv[1], int(sys.argv[2])), backlog=BACKLOG) as listener:
        while True:
            client, _ = listener.accept()
            threading.Thread(target=serve, args=(client, zeros), daemon=True).start()


if __name__ == "__main__":
    main()
