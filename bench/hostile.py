"""A hostile peer as a process: raw_node.py with attacks (attacks.py).

Further commands: `join` with nodes.json, the victim's Tox ID and the message of the friend request in hex;
`online`; `attack` with its name and seconds, which answers with the number of packets that toxcore took.
"""

import json
import time
from pathlib import Path

from toxvpn._native.results import Connection, SendResult

from . import attacks
from .attacks import Parties
from .raw_node import RawNode

FAST, RACING = 4.0, 50.0
BATCH = 64


class Hostile(RawNode):
    def join(self, nodes_json: str, tox_id: str, message: str) -> None:
        for node in json.loads(Path(nodes_json).read_text())["nodes"]:
            key = bytes.fromhex(node["public_key"])
            self.tox.bootstrap(node["ipv4"], node["port"], key)
            self.tox.add_tcp_relay(node["ipv4"], node["tcp_ports"][0], key)
        self.tox.set_clock_rate(FAST)
        self._victim = bytes.fromhex(tox_id)[:32]
        self.friend = self.tox.friend_add(bytes.fromhex(tox_id), bytes.fromhex(message))

    def online(self) -> bool:
        found = self.tox.friend_connection(self.friend) is Connection.UDP
        self.tox.set_clock_rate(1.0 if found else FAST)
        return found

    def state(self, text: str) -> None:
        """Sets the status message, given in hex."""
        self.tox.status_message = bytes.fromhex(text)

    def attack(self, name: str, victim_ipv4: str, seconds: float) -> int:
        parties = Parties(self.tox.public_key, self._victim, victim_ipv4)
        if name in attacks.LOSSY:
            packets = attacks.LOSSY[name](parties)
            return self.blaster.spray(self.friend, packets, seconds, self.udp_fd)
        if name in attacks.LOSSLESS:
            return self._repeat(attacks.LOSSLESS[name](parties), seconds)
        return self._restate(attacks.status_messages(parties), seconds)

    def _repeat(self, packets: list[bytes], seconds: float) -> int:
        """Lossless packets; on a clock that runs so fast, libtoxcore's own rate control is no limit."""
        self.tox.set_clock_rate(RACING)
        sent, end_s = 0, time.monotonic() + seconds
        while time.monotonic() < end_s:
            for _ in range(BATCH):
                if self.tox.send_lossless(self.friend, packets[sent % len(packets)]) is not SendResult.SENT:
                    break
                sent += 1
            self.tox.iterate()
        self.tox.set_clock_rate(1.0)
        return sent

    def _restate(self, texts: list[bytes], seconds: float) -> int:
        changes, end_s = 0, time.monotonic() + seconds
        while time.monotonic() < end_s:
            self.tox.status_message = texts[changes % len(texts)]
            changes += 1
            self.tox.iterate()
            time.sleep(0.0005)
        return changes


if __name__ == "__main__":
    Hostile().run()
