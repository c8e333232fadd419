"""A name server that knows one name, by which hosts find the prefix of their NAT64 (RFC 7050).

`dns64.py ADDRESS PREFIX` serves on that address, and prints an empty line when it does.
"""

import socket
import sys
from ipaddress import IPv4Address, IPv6Network

NAME = b"\x08ipv4only\x04arpa\x00"
AAAA_IN = b"\x00\x1c\x00\x01"
ADDRESSES = IPv4Address("192.0.0.170"), IPv4Address("192.0.0.171")
ANSWERED, NO_SUCH_NAME = b"\x81\x80", b"\x81\x83"
HEAD_BYTES = 12


def answer(query: bytes, prefix: IPv6Network) -> bytes:
    """The answer to a query (RFC 1035 §4) with one question; `prefix` has 96 bits."""
    end = HEAD_BYTES + len(NAME) + len(AAAA_IN)
    asked = query[HEAD_BYTES:end].lower()
    if not asked.startswith(NAME):
        return query[:2] + NO_SUCH_NAME + query[4:6] + bytes(6) + query[HEAD_BYTES:end]
    records = [prefix[int(address)].packed for address in ADDRESSES] if asked == NAME + AAAA_IN else []
    lines = b"".join(b"\xc0\x0c" + AAAA_IN + b"\x00\x00\x00\x3c\x00\x10" + each for each in records)
    counts = b"\x00\x01" + len(records).to_bytes(2) + bytes(4)
    return query[:2] + ANSWERED + counts + asked + lines


def main() -> None:
    address, prefix = sys.argv[1], IPv6Network(sys.argv[2])
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as server:
        server.bind((address, 53))
        sys.stdout.write("\n")
        sys.stdout.flush()
        while True:
            query, asker = server.recvfrom(512)
            server.sendto(answer(query, prefix), asker)


if __name__ == "__main__":
    main()
