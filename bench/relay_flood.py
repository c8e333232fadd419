"""A stranger at a toxvpn's TCP relay (`-t`): `relay_flood ADDRESS PORT SECONDS HOW`.

`close`: connections as fast as they go; each says what begins a handshake, with another key, and ends while
200 others are open. `hold`: it keeps open whatever it gets, up to 2000, and says nothing. Prints a line when
it begins, and then how many connections there were.
"""

import contextlib
import os
import socket
import struct
import sys
import time
from collections import deque

HELLO_BYTES = 128
AT_ONCE = {"close": 200, "hold": 2000}
AT_ONCE_S = 1.0


def flood(address: str, port: int, seconds: float, how: str) -> int:
    made, end_s = 0, time.monotonic() + seconds
    opened: deque[socket.socket] = deque()
    while time.monotonic() < end_s:
        if len(opened) == AT_ONCE[how]:
            if how == "hold":
                time.sleep(0.1)
                continue
            opened.popleft().close()
        with contextlib.suppress(OSError):
            connected = socket.create_connection((address, port), AT_ONCE_S)
            connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            opened.append(connected)
            made += 1
            if how == "close":
                connected.sendall(os.urandom(HELLO_BYTES))
    for each in opened:
        each.close()
    return made


def main() -> None:
    address, port, seconds, how = sys.argv[1:]
    print(flush=True)
    print(flood(address, int(port), float(seconds), how))


if __name__ == "__main__":
    main()
