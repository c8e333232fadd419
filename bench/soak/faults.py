"""What goes wrong in a round: for each subject one fault after the other, from the seed."""

import asyncio
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random

from lab import Lab, LabError, Nat
from lab.faults import freeze, thaw

from .machines import Machine

GAP_S = 6.0
"""Between a fault and the next of the same subject, on average."""


class Scene:
    """The lab with its two machines, on which faults work; `laptop` is behind `nat`."""

    def __init__(self, lab: Lab, box: Machine, laptop: Machine, nat: Nat) -> None:
        self.lab, self.box, self.laptop, self.nat = lab, box, laptop, nat

    @property
    def machines(self) -> tuple[Machine, Machine]:
        return self.box, self.laptop

    def move(self, machine: Machine) -> None:
        """Other addresses: of the box itself, of the laptop in its own network."""
        if machine is self.box:
            self.lab.readdress(machine.host)
        else:
            self.nat.readdress(machine.host)


@dataclass(frozen=True, slots=True)
class Fault:
    """`end` undoes what `begin` did, `least_s` to `most_s` later; without it the fault is of a moment."""

    name: str
    begin: Callable[[Scene, Machine], None]
    end: Callable[[Scene, Machine], None] | None = None
    least_s: float = 1.0
    most_s: float = 15.0


def _asleep(scene: Scene, machine: Machine) -> None:
    freeze(*(program.process for program in machine.running if program.process))


def _awake(scene: Scene, machine: Machine) -> None:
    thaw(*(program.process for program in machine.running if program.process))


def _nodes(scene: Scene, *, down: bool) -> None:
    for node in scene.lab.nodes:
        (node.host.down if down else node.host.up)()


COMMON = (
    Fault("asleep", _asleep, _awake),
    Fault("offline", lambda _, m: m.host.down(), lambda _, m: m.host.up()),
    Fault("UDP is blocked", lambda _, m: m.host.block_udp(), lambda _, m: m.host.block_udp(False), 5.0),
    Fault("3 % loss", lambda _, m: m.host.loss(3), lambda _, m: m.host.loss(0), 5.0),
    Fault("20 Mbit/s", lambda _, m: m.host.rate(20), lambda _, m: m.host.rate(None), 5.0),
    Fault("other addresses", lambda scene, m: scene.move(m)),
)
BOX = (
    *COMMON,
    Fault("another network", lambda scene, m: scene.lab.roam(m.host)),
    Fault("its tuntox client is killed", lambda _, m: m.client.kill(), lambda _, m: m.client.start(), 0.0),
)
LAPTOP = (
    *COMMON,
    Fault("its NAT has other addresses", lambda scene, _: scene.lab.readdress(scene.nat)),
    Fault("powered off", lambda _, m: m.power_off(), lambda _, m: m.start(), 0.0),
    Fault("restarted", lambda _, m: m.shut_down(), lambda _, m: m.start(), 0.0),
)
NODES = (
    Fault("gone", lambda scene, _: _nodes(scene, down=True), lambda scene, _: _nodes(scene, down=False)),
)
"""The box is never stopped, so that an hour's growth would show in it."""


@dataclass(frozen=True, slots=True)
class Event:
    """A fault that begins `at_s` into the round."""

    at_s: float
    fault: Fault
    lasts_s: float

    def __str__(self) -> str:
        return f"{self.at_s:.1f} s: {self.fault.name}" + (f", {self.lasts_s:.1f} s" if self.fault.end else "")


def plan(random: Random, faults: tuple[Fault, ...], seconds: float) -> Iterator[Event]:
    """Faults that begin and end within so many seconds."""
    at_s = random.expovariate(1 / GAP_S)
    while True:
        fault = random.choice(faults)
        lasts_s = random.uniform(fault.least_s, fault.most_s) if fault.end else 0.0
        if at_s + lasts_s > seconds:
            return
        yield Event(at_s, fault, lasts_s)
        at_s += lasts_s + random.expovariate(1 / GAP_S)


async def suffer(
    scene: Scene, machine: Machine, events: list[Event], on_problem: Callable[[str], None]
) -> None:
    """Has it all happen. A problem: a program that does not end, or does not start again."""
    began_s = time.monotonic()
    for event in events:
        await asyncio.sleep(max(0.0, began_s + event.at_s - time.monotonic()))
        for step in (event.fault.begin, event.fault.end):
            if step is None:
                continue
            try:
                await asyncio.to_thread(step, scene, machine)
            except (LabError, OSError) as error:
                on_problem(f"{machine.name}, {event.fault.name}: {error}")
            if step is event.fault.begin:
                await asyncio.sleep(event.lasts_s)
