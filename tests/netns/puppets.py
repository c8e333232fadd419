"""Runs raw_peer.py on a host of the lab: commands go in, events come out."""

import json
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from lab import Host, Lab, wait_until

PROGRAM = Path(__file__).with_name("raw_peer.py")
CONNECTING_S = 45.0
VPN_PACKET, IPV4, IPV6 = b"\xc8", b"\x08\x00", b"\x86\xdd"


class Puppet:
    """A raw peer on `host`; `message` is that of its friend request."""

    def __init__(self, lab: Lab, host: Host, *, message: bytes = b"auto-toxvpn") -> None:
        self.host = host
        self._message = message
        self._events: list[dict[str, Any]] = []
        pipe = subprocess.PIPE
        argv = [sys.executable, str(PROGRAM), str(lab.nodes_json)]
        self.process = host.popen(argv, stdin=pipe, stdout=pipe)
        self._listener = threading.Thread(target=self._read_events, daemon=True)
        self._listener.start()
        self.tox_id: str = wait_until(lambda: self._last("id"), "the puppet's Tox ID")

    @property
    def public_key(self) -> bytes:
        return bytes.fromhex(self.tox_id[:64])

    def befriend(self, tox_id: str) -> None:
        """Send a friend request to this Tox ID."""
        self._do(friend=tox_id, message=self._message.hex())

    def wait_online(self) -> None:
        wait_until(lambda: self._last("online"), "the puppet's friend", CONNECTING_S)

    def set_status(self, status: bytes) -> None:
        self._do(status=status.hex())

    def send(self, *packets: bytes) -> None:
        self._do(send=[packet.hex() for packet in packets])

    def send_ip(self, *packets: bytes) -> None:
        """Send IP packets as VPN packets, each with the EtherType of its version."""
        self.send(*(framed(packet) for packet in packets))

    @property
    def packets(self) -> list[bytes]:
        """The IP packets that were sent to it over the VPN, so far."""
        received = [bytes.fromhex(event["packet"]) for event in list(self._events) if "packet" in event]
        return [packet[5:] for packet in received if packet[:1] == VPN_PACKET]

    @property
    def friends_status(self) -> bytes | None:
        status = self._last("status")
        return None if status is None else bytes.fromhex(status)

    def _do(self, **command: object) -> None:
        assert self.process.stdin
        self.process.stdin.write(json.dumps(command).encode() + b"\n")
        self.process.stdin.flush()

    def _read_events(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            self._events.append(json.loads(line))

    def _last(self, name: str) -> Any:
        return next((event[name] for event in reversed(self._events) if name in event), None)


def framed(packet: bytes) -> bytes:
    """The VPN's frame before an IP packet (docs/wire-format.md §2)."""
    return VPN_PACKET + b"\0\0" + (IPV6 if packet[:1] >= b"\x60" else IPV4) + packet
