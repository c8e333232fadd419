"""Strangers who ask to be let in, as fast as the onion carries it: `asker NODES_JSON TOX_ID SECONDS`.

Each of them has another key, and asks again and again with a wrong secret. Prints a line when all have found
the victim, as far as time tells, and then how often they began to ask.
"""

import json
import os
import sys
import time
from pathlib import Path
from typing import cast

from toxvpn._native.handler import Handler
from toxvpn._native.options import Options
from toxvpn._native.results import Connection
from toxvpn._native.toxcore import Tox

from .raw_node import Greeter

STRANGERS = 24
RATE = 8.0
FIND_S = 6.0
AGAIN_S = 2.0
TURN_S = 0.005


class Stranger:
    def __init__(self, nodes_json: str, victim: str) -> None:
        self.tox = Tox(
            Options(local_discovery=False, udp_ports=(40_000, 50_000)), handler=cast(Handler, Greeter())
        )
        for node in json.loads(Path(nodes_json).read_text())["nodes"]:
            self.tox.bootstrap(node["ipv4"], node["port"], bytes.fromhex(node["public_key"]))
        self.tox.set_clock_rate(RATE)
        self._victim = bytes.fromhex(victim)
        self._friend: int | None = None

    def ask(self) -> None:
        if self._friend is not None:
            self.tox.friend_delete(self._friend)
        self._friend = self.tox.friend_add(self._victim, os.urandom(16).hex().encode() + b"\0")


def turns(strangers: list[Stranger], seconds: float) -> int:
    """Lets all ask every AGAIN_S; returns how often they did."""
    asked, end_s = 0, time.monotonic() + seconds
    next_s = time.monotonic()
    while (now_s := time.monotonic()) < end_s:
        if now_s >= next_s:
            next_s += AGAIN_S
            for each in strangers:
                each.ask()
            asked += len(strangers)
        for each in strangers:
            each.tox.iterate()
        time.sleep(TURN_S)
    return asked


def main() -> None:
    nodes_json, victim, seconds = sys.argv[1:]
    strangers = [Stranger(nodes_json, victim) for _ in range(STRANGERS)]
    end_s = time.monotonic() + 60
    while any(each.tox.connection is Connection.NONE for each in strangers) and time.monotonic() < end_s:
        for each in strangers:
            each.tox.iterate()
        time.sleep(TURN_S)
    turns(strangers, FIND_S)
    print(flush=True)
    print(turns(strangers, float(seconds)))


if __name__ == "__main__":
    main()
