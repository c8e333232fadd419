"""A UDP echo server as a program: `udp_echo.py ADDRESS PORT`. Each datagram goes back to who sent it."""

import socket
import sys


def main() -> None:
    address, port = sys.argv[1], int(sys.argv[2])
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as server:
        server.bind((address, port))
        while True:
            data, source = server.recvfrom(65535)
            server.sendto(data, source)


if __name__ == "__main__":
    main()
