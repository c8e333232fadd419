"""A TCP echo server (RFC 862) as a program: `echo.py ADDRESS PORT`.

A client that half-closes gets the rest of its bytes back, then the end.
"""

import socket
import socketserver
import sys


class Echo(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        try:
            while data := self.request.recv(65536):
                self.request.sendall(data)
        except OSError:  # the client has reset the connection
            return


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128


class Server6(Server):
    address_family = socket.AF_INET6


def main() -> None:
    address, port = sys.argv[1], int(sys.argv[2])
    kind = Server6 if ":" in address else Server
    with kind((address, port), Echo) as server:
        server.serve_forever()


if __name__ == "__main__":
    main()
