"""A NAT router that maps ports for the hosts behind it, by PCP, NAT-PMP and UPnP: Debian's miniupnpd."""

import re
import subprocess
from collections.abc import Collection
from typing import Literal

from .errors import LabError
from .nat import LAN_INTERFACE, WAN_INTERFACE, Nat
from .waiting import wait_until

MappingProtocol = Literal["pcp", "upnp"]
PROGRAM = "miniupnpd"
TABLE = """
table inet miniupnpd {
  chain miniupnpd { }
  chain prerouting { type nat hook prerouting priority -100; jump prerouting_miniupnpd; }
  chain prerouting_miniupnpd { }
  chain postrouting_miniupnpd { }
}
"""
"""Nothing jumps to the first and the last: nat.sh lets through what is translated."""


def map_ports(nat: Nat, protocols: Collection[MappingProtocol] = ("pcp", "upnp")) -> subprocess.Popen[bytes]:
    """Start miniupnpd on the router; "pcp" means NAT-PMP too, which it does not part from it.

    It refuses when the router's own address is private, as that of a home behind a carrier.
    """
    nat.run(["nft", TABLE])
    config = nat.directory / "miniupnpd.conf"
    settings = {
        "ext_ifname": WAN_INTERFACE,
        "ext_ip": nat.ipv4,
        "listening_ip": LAN_INTERFACE,
        "upnp_table_name": "miniupnpd",
        "upnp_nat_table_name": "miniupnpd",
        "enable_upnp": _switch("upnp" in protocols),
        "enable_natpmp": _switch("pcp" in protocols),
        "min_lifetime": 10,
        "secure_mode": "yes",
        "uuid": "00000000-0000-0000-0000-000000000001",
    }
    config.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
    log = nat.directory / "miniupnpd.log"
    with log.open("wb") as out:
        pid_file = nat.directory / "miniupnpd.pid"
        command = [PROGRAM, "-d", "-f", str(config), "-P", str(pid_file)]
        process = nat.popen(command, stdout=out, stderr=out)

    def ready() -> bool:
        if process.poll() is not None:
            raise LabError(f"{PROGRAM} on {nat.name} ended:\n{log.read_text()}")
        return pid_file.exists()

    wait_until(ready, f"{PROGRAM} on {nat.name}")
    return process


def mapped_ports(nat: Nat) -> list[int]:
    """The outer UDP ports that the router passes on now."""
    rules = nat.run(["nft", "list", "chain", "inet", "miniupnpd", "prerouting_miniupnpd"])
    return [int(port) for port in re.findall(r" dport (\d+)", rules.stdout)]


def _switch(on: bool) -> str:
    return "yes" if on else "no"
