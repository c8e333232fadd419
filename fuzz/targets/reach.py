"""How a peer is reached: all that friends, DHT nodes and strangers may say about that, in any order."""

import asyncio
import contextlib
import socket
from collections import Counter
from collections.abc import Iterator
from functools import cache
from typing import cast
from unittest.mock import patch

from toxvpn._native.net.netio import DetourTraffic
from toxvpn._native.results import Connection
from toxvpn._native.toxcore import Tox
from toxvpn.testing.fake_nodes import Once
from toxvpn.testing.fake_tox import SAVE_HEADER, FakeNetwork, FakeTox
from toxvpn.tox.node import Node
from toxvpn.tox.ownstatus import OwnStatus
from toxvpn.tox.peer import RARE_AT_ONCE, RARE_PER_S
from toxvpn.tox.reach import punch as punching
from toxvpn.tox.reach.detours import SLOTS, Detours
from toxvpn.tox.reach.mapped import MappedEndpoints
from toxvpn.tox.reach.met import MetBook
from toxvpn.tox.reach.punch import Punch
from toxvpn.tox.reach.recovery import PATH_AGAIN_S, PATH_S, Recovery
from toxvpn.tox.reach.relaying import Relaying
from toxvpn.tox.reach.reunion import Reunion
from toxvpn.tox.reach.straight import Straight
from toxvpn.tox.safecall import SafeCall
from toxvpn.wire.reach import knock, mapped, punch, relaylist, relayoffer, whereabouts
from toxvpn.wire.reach.introduction import NodeAt
from toxvpn.wire.reach.knock import Knock, KnockKind
from toxvpn.wire.reach.punch import OpenPorts
from toxvpn.wire.reach.whereabouts import Whereabouts

from ..target import Choices, target

HOSTS = ["198.51.100.7", "203.0.113.5", "192.168.1.9", "127.0.0.1"]
TELLERS = ["192.0.2.1", "192.0.2.2", "192.0.2.3", "2001:db8::5"]
KEYS = [bytes([each]) * 31 + b"\1" for each in range(1, 5)]
IDS = [each.PACKET_ID for each in (whereabouts, relaylist, mapped, punch, relayoffer, knock)]
STATUS = b'{"toxvpn":{"v":1}}'
ASKS_AT_ONCE, ASKS_PER_S = 140, 60
"""Datagrams to where others say that somebody is, for all three friends; each may say 200 things at once."""
OPEN, TRIES = 2, punching.AT_ONCE
"""In place of 256 sockets, and 1024 ports."""


class Friend:
    """Has no node: it says what the input wants, and hears by which tokens knocks are answered."""

    def __init__(self, network: FakeNetwork, key: bytes) -> None:
        self.tox = FakeTox(network, savedata=SAVE_HEADER + key + bytes(4), handler=self)
        self.token = 0

    def on_lossy(self, number: int, packet: bytes) -> None:
        told = knock.decode_untrusted(packet) if packet[0] == knock.PACKET_ID else None
        self.token = self.token if told is None else told.token

    def on_self_connection(self, connection: Connection) -> None: ...
    def on_friend_request(self, public_key: bytes, message: bytes) -> None: ...
    def on_friend_name(self, number: int, name: bytes) -> None: ...
    def on_friend_status_message(self, number: int, text: bytes) -> None: ...
    def on_friend_connection(self, number: int, connection: Connection) -> None: ...
    def on_lossless(self, number: int, packet: bytes) -> None: ...
    def on_nap(self, slept_s: float) -> None: ...


class Machine:
    """A node with all of tox/reach, and its friends."""

    def __init__(self) -> None:
        network = FakeNetwork()
        self.now = 1000.0
        self.moves = self.opened = self.probed = 0
        self.met = len(KEYS) - 1
        self.tox = FakeTox(network, savedata=SAVE_HEADER + KEYS[0] + bytes(4))
        self.tox.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.tox.udp.bind(("127.0.0.1", 0))
        self.node = Node(cast(Tox, self.tox), Once([]))
        self.node.now = lambda: self.now
        self.node.turns._tick = lambda now: None
        self.recovery = Recovery(self.node)
        OwnStatus(self.node)
        Relaying(self.node).named = lambda: KEYS[1:]
        detours = Detours(self.node, self.recovery)
        Straight(self.node, self.recovery, detours)
        self.punch = Punch(self.node, self.recovery)
        MappedEndpoints(self.node, self.recovery, Counter()).own_is((HOSTS[0], 1))
        self.reunion = Reunion(self.node, self.recovery, MetBook(), lambda: None, lambda: self.now)
        self.friends = [Friend(network, key) for key in KEYS[1:]]
        for friend in self.friends:
            friend.tox.status_message = STATUS
            friend.tox.friend_add_norequest(KEYS[0])
            self.node.accept(friend.tox.public_key)
        self.turn()
        for friend in self.friends:
            friend.tox.send_lossy(0, whereabouts.encode(Whereabouts(friend.tox.dht_id)))
        self.turn()

    def turn(self) -> None:
        for friend in self.friends:
            friend.tox.iterate()
        self.node.turns.turn()

    def tick(self) -> None:
        for call in self.node.each_tick:
            call(self.now)
        self.turn()

    def close(self) -> None:
        self.punch.close()
        self.recovery.close()
        for friend in self.friends:
            friend.tox.close()
        self.node.close()
        assert self.tox.udp is not None
        self.tox.udp.close()

    def check(self) -> None:
        passed_s, tox, numbers = self.now - 1000, self.tox, self.tox.friend_list()
        assert len(tox.bootstrapped) <= ASKS_AT_ONCE + ASKS_PER_S * (passed_s + self.moves)
        assert self.probed <= self.met * TRIES * (1 + passed_s / punching.TRY_S)
        assert self.opened <= self.met * OPEN * (1 + passed_s * 2 / punching.TRY_S)
        most_packets = RARE_AT_ONCE + RARE_PER_S * passed_s
        assert all(peer.received_packets <= most_packets for peer in self.node)
        assert sum(tox.jumps_s) <= PATH_S * (1 + passed_s / PATH_AGAIN_S)
        assert {*map(self.recovery.dht_key, self.node)} <= {None, *tox.watched}
        assert len(tox.detours) <= SLOTS
        assert all(via in numbers for via, _, _ in tox.detours.values())
        self.reunion.snapshot()

    def send(self, one: object, data: bytes, place: tuple[str, int]) -> None:
        """In place of sending a probe."""
        assert mapped.may_be_public(place[0])
        self.opened += data == punch.probe()
        self.probed += data != punch.probe()


def says(friend: Friend, choices: Choices) -> bytes:
    """A packet that it sends; any but for the last kind is well-formed."""
    key = choices.pick(KEYS)
    place = choices.pick(HOSTS), choices.number(2)
    match choices.below(8):
        case 0:
            return whereabouts.encode(Whereabouts(key[::-1], choices.flag(), choices.flag()))
        case 1:
            return relaylist.encode([NodeAt(*place, key)] * choices.below(3))
        case 2:
            return mapped.encode(place if choices.flag() else None)
        case 3:
            return punch.encode(OpenPorts(None if choices.flag() else bytes(punch.TOKEN_BYTES)))
        case 4:
            offered = {choices.below(4): choices.pick(KEYS), choices.below(256): key}
            return relayoffer.encode(friend.tox.public_key, KEYS[0], offered)
        case 5:
            return knock.encode(Knock(choices.pick(list(KnockKind)), friend.token))
        case 6:
            return knock.encode(Knock(choices.pick(list(KnockKind)), choices.number(2)))
        case _:
            return bytes([choices.pick(IDS)]) + choices.chunk(300)


def step(machine: Machine, choices: Choices) -> None:
    """What happens next."""
    tox, friend = machine.tox, choices.pick(machine.friends)
    peer = machine.node.peer(friend.tox.public_key)
    place = choices.pick(HOSTS), 1 + choices.number()
    match choices.below(12):
        case 0 | 1 | 2 | 3:
            packet = says(friend, choices)
            for _ in range(1 + choices.below(2) * choices.number()):
                friend.tox.send_lossy(0, packet)
            machine.turn()
        case 4 | 5:
            step_s = choices.pick([0.25, 1.0, 30.0])
            for _ in range(1 + choices.below(8)):
                machine.now += step_s
                machine.tick()
        case 6:
            if peer is not None:
                machine.node.on_friend_connection(peer.number, choices.pick(list(Connection)))
        case 7:
            tox.sighted += [(choices.pick(KEYS)[::-1], *place)] * (1 + choices.number())
            machine.turn()
        case 8:
            key, ports = choices.pick(KEYS)[::-1], 1 + choices.below(4)
            for at, teller in enumerate(TELLERS):
                tox.told_places.append((key, (place[0], place[1] + at % ports), (teller, 33445)))
        case 9:
            ago_s = choices.pick([None, 0.5, 10.0])
            tox.detour_use[choices.below(8)] = DetourTraffic(1, 1, choices.number(), ago_s, ago_s)
        case 10:
            tox.source = choices.pick([None, place])
        case _:
            if choices.flag():
                machine.moves += 1
                machine.recovery.moved()
            elif peer is not None:
                machine.node.remove(peer)
            else:
                machine.met += 1
                machine.node.accept(friend.tox.public_key)
                machine.turn()


@contextlib.contextmanager
def machine() -> Iterator[Machine]:
    """What fails is not logged but raised; a probe is counted, not sent."""

    def call_it(self: SafeCall, call: object, *what: object, **named: object) -> None:
        call(*what, **named)  # type: ignore[operator]

    with patch.object(SafeCall, "__call__", call_it), patch.multiple(punch, OPEN=OPEN, TRIES=TRIES):
        made = Machine()
        try:
            with patch.multiple(punching, send=made.send, EVERY_S=0.0):
                yield made
        finally:
            made.close()


@cache
def loop() -> asyncio.AbstractEventLoop:
    return asyncio.new_event_loop()


@target
def reached(data: bytes) -> None:
    """Nothing fails, whoever says what; and what others can make us send, and to whom, has its bounds."""

    async def story() -> None:
        choices = Choices(data)
        with machine() as ours:
            while choices.left:
                step(ours, choices)
                await asyncio.sleep(0)
                ours.check()

    loop().run_until_complete(story())
