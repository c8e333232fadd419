"""A network that has IPv6 only, as those of mobile providers; its router translates to IPv4 (RFC 6146).

Its hosts reach an IPv4 address as PREFIX:a.b.c.d, and learn the prefix from their name server (RFC 7050).
"""

import subprocess
import sys
from ipaddress import IPv6Network

from . import dns64
from .host import Host
from .nat import Nat
from .processes import PROVISION
from .waiting import wait_until

PREFIX = IPv6Network("2001:db8:64::/96")
DEVICE = "nat64"


class Nat64(Nat):
    """Made by Lab.nat64; `host` makes hosts that have IPv6 alone."""

    def translate(self) -> None:
        """Begin to; needs tayga."""
        with (self.directory / "tayga.log").open("wb") as log:
            self.popen([PROVISION / "nat64.sh", str(PREFIX), self.directory], stdout=log, stderr=log)
        way = ["ip", "-6", "route", "get", str(PREFIX[1])]
        wait_until(lambda: DEVICE in self.run(way, check=False).stdout, "tayga's device")
        assert self.lan6
        address = str(self.lan6.ip)
        server = self.popen(
            [sys.executable, "-I", dns64.__file__, address, str(PREFIX)], stdout=subprocess.PIPE
        )
        assert server.stdout
        server.stdout.read(1)
        self.directory.joinpath("resolv.conf").write_text(f"nameserver {address}\n")

    def _give(self, host: Host) -> None:
        assert self.lan6
        self._hosts += 1
        host.ipv6 = str(self.lan6.ip + self._hosts)
        host.resolver = self.directory / "resolv.conf"
        self._configure(host, host.ipv6, self.lan6)
