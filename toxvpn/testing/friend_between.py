"""Three nodes on a FakeNetwork that know each other: ann and ben, and box, which relays for both.

Time passes in steps.
"""

from .._native.net.netio import DetourTraffic
from .._native.results import Connection
from ..tox.ownstatus import OwnStatus
from ..tox.peer import Peer
from ..tox.reach.detours import Detours
from ..tox.reach.recovery import Recovery
from ..tox.reach.relaying import Relaying
from ..tox.reach.straight import Straight
from .fake_nodes import Network
from .fake_tox import FakeTox

STEP_S = 0.25


class OneOfThree:
    def __init__(self, network: Network) -> None:
        self.node = network.node()
        self.fake: FakeTox = network.fake(self.node)
        self.node.turns._tick = lambda now: None
        self.recovery = Recovery(self.node)
        OwnStatus(self.node)
        self.relaying = Relaying(self.node)
        self.detours = Detours(self.node, self.recovery)
        self.straight = Straight(self.node, self.recovery, self.detours)

    @property
    def key(self) -> bytes:
        return self.fake.public_key

    def sees(self, other: "OneOfThree") -> Peer:
        peer = self.node.peer(other.key)
        assert peer is not None
        return peer

    def is_on(self, other: "OneOfThree", connection: Connection) -> None:
        """From now on toxcore says that the other one is connected so."""
        self.node.on_friend_connection(self.sees(other).number, connection)
        self.node.turns.turn()

    def looked(self) -> list[str]:
        """Where it looked for peers by way of friends, since the last call."""
        places, self.fake.bootstrapped = self.fake.bootstrapped, []
        return [host for host, *_ in places if host.startswith("febf")]

    def uses(self, slot: int, ago_s: float | None, asked: int = 0) -> None:
        """Datagrams took the detour of that slot so long ago."""
        self.fake.detour_use[slot] = DetourTraffic(1, 1, asked, ago_s, ago_s)


class Three:
    def __init__(self, network: Network) -> None:
        self.now = 1000.0
        self.ann, self.ben, self.box = self.all = [OneOfThree(network) for _ in range(3)]
        for machine in self.all:
            machine.node.now = lambda: self.now
            for other in self.all:
                if other is not machine:
                    machine.node.accept(other.key)
        self.box.relaying.named = lambda: {self.ann.key, self.ben.key}
        self.turn()
        self.turn()

    def turn(self) -> None:
        for machine in self.all * 3:
            machine.node.turns.turn()

    def pass_s(self, seconds: float) -> None:
        for _ in range(round(seconds / STEP_S)):
            self.now += STEP_S
            for machine in self.all:
                for call in machine.node.each_tick:
                    call(self.now)
            self.turn()

    def keep_s(self, seconds: float) -> None:
        """The same, in steps of a second."""
        for _ in range(round(seconds)):
            self.now += 1 - STEP_S
            self.pass_s(STEP_S)

    def index_of(self, machine: OneOfThree) -> int:
        """By which box knows it."""
        number = self.box.sees(machine).number
        return next(index for index, each in self.box.fake.relayed.items() if each == number)

    def close(self) -> None:
        for machine in self.all:
            machine.recovery.close()
