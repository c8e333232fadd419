"""Gives a user's network a way to the Internet by pasta(1) of passt, which relays with ordinary sockets.

In: the namespace. Out: a link in it, with this machine's addresses and default routes. pasta does not end
with the namespace, so a process of our own (watcher.py) starts it, and ends it when this one has gone,
however that happens.
"""

import contextlib
import json
import os
import select
import shutil
import socket
import subprocess
import time
from ipaddress import IPv4Address
from typing import Any

from ..errors import ToxvpnError
from ..interpreter import start_helper
from ..state.files import why_not_started
from ..tun.host.netlink import Netlink
from .namespace import UserNamespace
from .watcher import MESSAGE_BYTES

PROGRAM = "pasta"
LINK = "internet"
RTN_UNICAST = 1
DNS = IPv4Address("169.254.53.53")
"""What is sent there goes to a name server that this machine uses."""
OPTIONS = (
    "--foreground", "--quiet", "--config-net", "--ns-ifname", LINK, "--dns-forward", str(DNS),
    "--no-map-gw",  # else the router's address would stand for this machine's loopback
    "--tcp-ports", "none", "--udp-ports", "none", "--tcp-ns", "none", "--udp-ns", "none",
)  # fmt: skip
WATCHER = "from toxvpn.usernet import watcher; watcher.main(int(sys.argv[1]))"
START_TIMEOUT_S = 10.0
STOP_TIMEOUT_S = 2.0
LOOK_AGAIN_S = 0.02


class Internet:
    """The way out is there from construction until `close`."""

    def __init__(self, namespace: UserNamespace) -> None:
        """Raises ToxvpnError: pasta is not installed, or finds no way out of this machine."""
        program = shutil.which(PROGRAM)
        if program is None:
            raise ToxvpnError(
                f"--internet takes {PROGRAM}, which is not installed: "
                "on Debian or Ubuntu, 'apt install passt'"
            )
        try:
            self._control, self._watcher = start_helper(WATCHER)
        except OSError as error:
            raise ToxvpnError(f"{PROGRAM} cannot be started: {why_not_started(error)}") from None
        own_user = ["--runas", "0"] if os.geteuid() == 0 else []  # else it becomes nobody
        command = [program, *OPTIONS, *own_user, str(namespace.owner)]
        try:
            self._control.send(json.dumps(command).encode())
            self._wait_for_route(namespace)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self._control.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._watcher.wait(STOP_TIMEOUT_S)
        self._watcher.kill()
        self._watcher.wait()

    def _wait_for_route(self, namespace: UserNamespace) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        with Netlink(namespace) as net:
            while not net.call(has_default_route):
                ended, _, _ = select.select([self._control], [], [], LOOK_AGAIN_S)
                if ended:
                    reason = self._control.recv(MESSAGE_BYTES).decode(errors="replace")
                    raise ToxvpnError(f"no Internet for this network: {PROGRAM} says {reason or 'nothing'}")
                if time.monotonic() > deadline:
                    raise ToxvpnError(f"no Internet for this network: {PROGRAM} made no route in time")


def has_default_route(route: Any) -> bool:
    """To be given to Netlink.call."""
    families = (socket.AF_INET, socket.AF_INET6)
    routes = (each for family in families for each in route.get_routes(family=family))
    return any(each["dst_len"] == 0 and each["type"] == RTN_UNICAST for each in routes)
