"""Two toxvpn that meet over some network: when, by which path, and how fast the VPN and forwards are then."""

import contextlib
import time
from typing import Any

from lab import Lab, LabError, apps, wait_until
from toxvpn.control.client import call
from toxvpn.errors import ToxvpnError

from .harness import LOCALHOST, ONLINE_S, OURS, progress
from .pair import Client, Server, Site
from .scenes import Ends
from .vpn_pair import VpnSide

PATHS = {"udp": "direct", "tcp-relay": "relay", "none": "none"}
ROADS = {"fast": 7001, "tuntox": 7002}
"""Where the client listens for each road."""
ROAD_S = 20.0
"""So long after the flow over the VPN a forward may take to come to the same path."""
ALONE_S = 8.0
"""A server without a way to the Tox network is given so long, and then the client starts all the same."""
MEETING_S = 45.0
LOGIN_S = 15.0
"""How long a client has been up when its captive portal opens."""


class Meeting:
    """`serve` first, then `connect`, then `start_roads`."""

    def __init__(self, lab: Lab, ends: Ends) -> None:
        self._ends = ends
        self._site = Site(ends.server, ends.client, lab.nodes_json, OURS)
        self._client = VpnSide(ends.client, lab.nodes_json, ends.environment)
        self._server = VpnSide(ends.server, lab.nodes_json, OURS)
        self._roads: dict[str, Client] = {}
        self._began_s = 0.0

    def serve(self) -> None:
        self._server.up(self._client.tox_id)
        self._forwards = Server(self._site, warm=False)
        apps.iperf3_server(self._ends.server)

    def wait_served(self) -> None:
        with contextlib.suppress(LabError):
            wait_until(lambda: _self(self._server)["connection"] != "none", "connection to Tox", ALONE_S, 0.1)

    def connect(self) -> float | None:
        """Starts the client. Seconds until the server answers a ping; None: it does not."""
        address: str = _self(self._server)["ipv4"]
        self._began_s = time.monotonic()
        self._client.up(self._server.tox_id)
        wait_until(lambda: _self(self._client).get("interface_up"), "client", ONLINE_S)
        if self._ends.opens:
            time.sleep(LOGIN_S)
            self._began_s = time.monotonic()
            self._ends.opens()
        try:
            wait_until(lambda: self.path() != "none", "path to the server", MEETING_S)
            wait_until(lambda: self._ends.client.ping(address, timeout_s=0.3), "answer", MEETING_S)
        except LabError:
            return None
        return time.monotonic() - self._began_s

    def wait_direct(self, watch_s: float) -> float | None:
        """Seconds from the client's start until the path needs no relay; None: it did within `watch_s`."""
        try:
            wait_until(lambda: self.path() == "direct", "direct path", watch_s, 0.1)
        except LabError:
            return None
        return time.monotonic() - self._began_s

    def path(self) -> str:
        peers = _status(self._client).get("peers", [])
        return PATHS[peers[0]["path"]] if peers else "none"

    def start_roads(self) -> None:
        """A forward on each road, by clients of their own, with new identities."""
        for road, port in ROADS.items():
            flags, environment = ("--road", road), self._ends.environment
            self._roads[road] = Client(
                self._forwards, apps.IPERF3_PORT, *flags, environment=environment, listen_port=port
            )

    def mbit(self, seconds: int) -> list[float]:
        """Of one TCP flow each way over the VPN; 0 for one that got nowhere."""
        return self._flows(_self(self._server)["ipv4"], apps.IPERF3_PORT, seconds)

    def road_mbit(self, road: str, seconds: int) -> list[float]:
        """As `mbit`, through the forward on that road."""
        forward = self._roads[road]
        same_path = self.path()
        with contextlib.suppress(LabError):
            wait_until(lambda: PATHS[forward.path()] == same_path, f"{same_path} path", ROAD_S, 0.1)
        return self._flows(LOCALHOST, ROADS[road], seconds)

    def _flows(self, address: str, port: int, seconds: int) -> list[float]:
        return [self._flow(address, port, seconds, reverse=reverse) for reverse in (False, True)]

    def _flow(self, address: str, port: int, seconds: int, *, reverse: bool) -> float:
        try:
            return apps.iperf3(self._ends.client, address, port, seconds=seconds, reverse=reverse)
        except LabError as failure:
            progress(str(failure))
            return 0.0


def _status(side: VpnSide) -> dict[str, Any]:
    """Empty before it runs."""
    try:
        document: dict[str, Any] = call(side.directory, "status")
    except ToxvpnError:
        if side.process.poll() is not None:
            raise
        return {}
    return document


def _self(side: VpnSide) -> dict[str, Any]:
    found: dict[str, Any] = _status(side).get("self", {"connection": "none"})
    return found
