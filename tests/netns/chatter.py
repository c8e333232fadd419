"""A user's programs, for a test of leaks: sends by every way there is, and counts how often it has tried.

    chatter.py FILE INTERFACE ADDRESS… -- RESOLVER…

To each address: a datagram, and an attempt to connect, by the routes and bound to the interface; to each
resolver a DNS query over UDP and TCP. It goes on until SIGTERM, and leaves the count in
FILE.
"""

import contextlib
import itertools
import signal
import socket
import sys
import time
from pathlib import Path
from types import FrameType

PAUSE_S = 0.01
QUERY = bytes.fromhex("1234 0100 0001 0000 0000 0000 07 6578616d706c65 00 0001 0001")


def send(address: str, port: int, kind: socket.SocketKind, interface: str | None) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with contextlib.suppress(OSError), socket.socket(family, kind) as sock:
        if interface:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode())
        sock.setblocking(False)
        sock.connect((address, port))
        sock.send(QUERY)


def main(count: Path, interface: str, addresses: list[str], resolvers: list[str]) -> None:
    tries = 0

    def stop(*_: int | FrameType | None) -> None:
        count.write_text(str(tries))
        sys.exit()

    signal.signal(signal.SIGTERM, stop)
    targets = [*((each, 9) for each in addresses), *((each, 53) for each in (*addresses, *resolvers))]
    kinds = (socket.SOCK_DGRAM, socket.SOCK_STREAM)
    for (address, port), kind, bound in itertools.cycle(itertools.product(targets, kinds, (None, interface))):
        send(address, port, kind, bound)
        tries += 1
        time.sleep(PAUSE_S)


if __name__ == "__main__":
    middle = sys.argv.index("--")
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3:middle], sys.argv[middle + 1 :])
