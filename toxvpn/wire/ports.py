"""Port numbers as a person types them: `PORT` and `FIRST:LAST`."""

LAST_PORT = 65535
FIRST_FREE_PORT = 1024
"""The first port that needs no rights to listen on, usually (net.ipv4.ip_unprivileged_port_start)."""


def parse_port(text: str) -> int:
    """A port from 1 to 65535. Raises ValueError, with a text that says why."""
    if not text:
        raise ValueError("the port is missing")
    if not (text.isascii() and text.isdigit()):
        raise ValueError(f"the port {text!r} is not a number")
    port = int(text) if len(text) < 10 else LAST_PORT + 1
    if not 0 < port <= LAST_PORT:
        raise ValueError(f"port {text} is out of range: 1 to {LAST_PORT}")
    return port


def parse_port_range(text: str) -> tuple[int, int]:
    """First and last of `FIRST:LAST`, or of one port. Raises ValueError, as `parse_port` does."""
    first, colon, last = text.partition(":")
    ports = parse_port(first), parse_port(last if colon else first)
    if ports[0] > ports[1]:
        raise ValueError(f"the ports {text} end before they begin")
    return ports
