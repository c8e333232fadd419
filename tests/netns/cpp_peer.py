"""A peer that behaves as the C++ toxvpn (docs/wire-format.md §2): `cpp_peer.py NODES_JSON IPV4 TOX_ID`.

It has a TUN with the kernel's own struct tun_pi, whose packets it sends as they are, with packet ID 200
before; it reads addresses from status messages, checks nothing, and knows only IPv4. Prints its Tox ID.
"""

import fcntl
import json
import os
import struct
import subprocess
import sys

from raw_peer import Peer

TUNSETIFF = 0x400454CA
IFF_TUN = 0x0001  # without IFF_NO_PI
MTU = 1200
PACKET_ID = b"\xc8"
IPV4 = b"\x08\x00"


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


class CppPeer(Peer):
    def __init__(self, nodes_json: str, own: str, friend: str) -> None:
        super().__init__(nodes_json)
        self.tun = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        fcntl.ioctl(self.tun, TUNSETIFF, struct.pack("16sH22x", b"cpp", IFF_TUN))
        ip("link", "set", "cpp", "mtu", str(MTU), "up")
        ip("addr", "add", own, "dev", "cpp")
        self.tox.status_message = json.dumps({"mode": "tun", "ownip": own}).encode()
        self.friend = self.tox.friend_add(bytes.fromhex(friend), b"auto-toxvpn")
        self.read(self.tun, self._outbound)
        print(self.tox.address.hex().upper(), flush=True)  # noqa: T201

    def _outbound(self) -> None:
        packet = os.read(self.tun, 65536)
        if packet[2:4] == IPV4:
            self.send(PACKET_ID + packet)

    def on_lossy(self, number: int, packet: bytes) -> None:
        if packet[:1] == PACKET_ID:
            os.write(self.tun, packet[1:])

    def on_friend_status_message(self, number: int, text: bytes) -> None:
        printed = json.loads(text or b"{}")
        if printed.get("mode") == "tun":
            ip("route", "replace", printed["ownip"], "dev", "cpp")


if __name__ == "__main__":
    CppPeer(*sys.argv[1:4]).run()
