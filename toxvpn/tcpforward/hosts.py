"""The machine's own list of names, hosts(5), read again when it has changed.

Names in it are known at once, without asking a server that may be slow on purpose: they need not wait for
the threads of `lookup.py`.
"""

import ipaddress
from pathlib import Path

MAX_BYTES = 256 * 1024
"""A larger file is taken for a block list, and left to the system's resolver."""
LOOPBACK = ("::1", "127.0.0.1")
"""The addresses of localhost where the file does not have it (RFC 6761 §6.3)."""


class Hosts:
    """The hosts file at `path`."""

    def __init__(self, path: Path = Path("/etc/hosts")) -> None:
        self._path = path
        self._seen: tuple[int, int, int] | None = None
        self._names: dict[str, list[str]] = {}

    def addresses(self, name: str) -> list[str]:
        """IPv6 first, as the system prefers it (RFC 6724); empty if the file does not have that name."""
        self._refresh()
        name = name.lower()
        found = self._names.get(name, LOOPBACK if name == "localhost" else ())
        return sorted(found, key=lambda address: ":" not in address)

    def _refresh(self) -> None:
        try:
            info = self._path.stat()
            seen = (info.st_mtime_ns, info.st_size, info.st_ino)
            if seen != self._seen:
                self._names = parse(self._path.read_text("utf-8", "replace")) if seen[1] <= MAX_BYTES else {}
                self._seen = seen
        except OSError:
            self._names, self._seen = {}, None


def parse(text: str) -> dict[str, list[str]]:
    """Addresses by name in lower case; invalid lines are skipped."""
    names: dict[str, list[str]] = {}
    for line in text.splitlines():
        address, *of_it = line.partition("#")[0].split() or [""]
        try:
            ipaddress.ip_address(address)
        except ValueError:
            continue
        for name in of_it:
            names.setdefault(name.lower(), []).append(address)
    return names
