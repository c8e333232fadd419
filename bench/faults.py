"""How soon a stream ticks again after a fault: of a machine, a program, the network, a router, a relay.

`runs` pairs of hosts suffer each fault at the same time. Each pair has one stream that ticks every 50 ms
both ways (lab/ticks.py): through `-L` on either road, without root, or over the VPN. "next tick" is the
time from the end of the fault until a tick that was sent after it has come, at both ends; "then": the
longest that any later tick took, within `watch` seconds. After a program was killed, a forward's stream is
a new one, and its time is that until it ticks. "CPU" is what both programs used of a processor from the
beginning of the fault to the end of the watch, "memory" what they gained.
"""

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from lab import Host, Lab, LabError, Nat, wait_until
from lab.bootstrap import restart_nodes
from lab.faults import forget_connections, freeze, hear_again, kill, silence, thaw

from .fault_pairs import TRAFFIC, Pair
from .harness import arguments, median, progress, spread, table

GOAL_S, LIMIT_S = 5.0, 15.0
LOST_S = 200.0
SETTLE_S = 20.0
"""Between a fault and the next: toxcore puts relays to sleep 10 s after a path became direct."""


@dataclass(frozen=True, slots=True)
class Fault:
    """`end` may be all of it. `from_direct`: it befalls pairs that have no relay between them.

    `on_lab`: it befalls what all pairs share, and is done once, for the first of them.
    """

    end: Callable[[Pair], None]
    begin: Callable[[Pair], None] | None = None
    from_direct: bool = True
    on_lab: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    next_s: float
    then_s: float
    cpu_percent: float
    gained_bytes: int


def both_offline(pair: Pair) -> None:
    pair.client_host.down()
    pair.server_host.down()


def both_online(pair: Pair) -> None:
    pair.client_host.up()
    pair.server_host.up()


def kill_nodes(pair: Pair) -> None:
    kill(*(node.process for node in pair.lab.nodes))


def start_nodes(pair: Pair) -> None:
    pair.lab.nodes[:] = restart_nodes(pair.lab.nodes)


def lose_relay(pair: Pair) -> None:
    """The relay that carries the stream is never heard of again, by either host."""
    relay = pair.relay()
    for host in (pair.client_host, pair.server_host):
        hear_again(host)
        silence(host, relay)


NODES = Fault(start_nodes, kill_nodes, from_direct=False, on_lab=True)

PUBLIC = {
    "client asleep": Fault(lambda pair: thaw(pair.client), lambda pair: freeze(pair.client)),
    "server asleep": Fault(lambda pair: thaw(pair.server), lambda pair: freeze(pair.server)),
    "both asleep": Fault(
        lambda pair: thaw(pair.client, pair.server), lambda pair: freeze(pair.client, pair.server)
    ),
    "client offline": Fault(lambda pair: pair.client_host.up(), lambda pair: pair.client_host.down()),
    "both offline": Fault(both_online, both_offline),
    "client killed": Fault(lambda pair: pair.start_client(), lambda pair: pair.kill(pair.client)),
    "server killed": Fault(lambda pair: pair.start_server(), lambda pair: pair.kill(pair.server)),
    "all bootstrap nodes killed": NODES,
    "client's addresses change": Fault(lambda pair: pair.lab.readdress(pair.client_host)),
    "server's addresses change": Fault(lambda pair: pair.lab.readdress(pair.server_host)),
    "client moves to another network": Fault(lambda pair: pair.lab.roam(pair.client_host)),
    "server moves to another network": Fault(lambda pair: pair.lab.roam(pair.server_host)),
    "UDP is blocked": Fault(lambda pair: pair.client_host.block_udp()),
    "UDP passes again": Fault(lambda pair: pair.client_host.block_udp(False), from_direct=False),
}


def nats_of(pair: Pair) -> tuple[Nat, Nat]:
    found = [pair.lab.hosts[f"{host.name}nat"] for host in (pair.client_host, pair.server_host)]
    assert isinstance(found[0], Nat) and isinstance(found[1], Nat)
    return found[0], found[1]


BEHIND_NATS = {
    "client asleep": PUBLIC["client asleep"],
    "server asleep": PUBLIC["server asleep"],
    "both offline": PUBLIC["both offline"],
    "client's router forgets its connections": Fault(lambda pair: forget_connections(nats_of(pair)[0])),
    "server's router forgets its connections": Fault(lambda pair: forget_connections(nats_of(pair)[1])),
    "client's address changes behind its NAT": Fault(
        lambda pair: nats_of(pair)[0].readdress(pair.client_host)
    ),
    "server's address changes behind its NAT": Fault(
        lambda pair: nats_of(pair)[1].readdress(pair.server_host)
    ),
    "client's NAT gets other addresses": Fault(lambda pair: pair.lab.readdress(nats_of(pair)[0])),
    "server's NAT gets other addresses": Fault(lambda pair: pair.lab.readdress(nats_of(pair)[1])),
}

OVER_RELAYS = {
    "the relay is lost silently": Fault(lose_relay),
    "all bootstrap nodes killed": NODES,
    "client asleep": PUBLIC["client asleep"],
    "client offline": PUBLIC["client offline"],
}

SCENES = {"public hosts": PUBLIC, "behind NATs": BEHIND_NATS, "over relays": OVER_RELAYS}


def hosts(lab: Lab, scene: str, number: int) -> tuple[Host, Host]:
    names = f"client{number}", f"server{number}"
    if scene == "behind NATs":
        return lab.nat(f"{names[0]}nat").host(names[0]), lab.nat(f"{names[1]}nat").host(names[1])
    found = lab.host(names[0]), lab.host(names[1])
    if scene == "over relays":
        found[0].block_udp()
    return found


def settled(pairs: list[Pair], *, direct: bool) -> None:
    """Waits until all are connected, and have been for a while, with streams that tick."""
    for pair in pairs:
        if pair.stream.failure:
            pair.renew()
        if direct:
            wait_until(pair.is_direct, "the path", LOST_S, 0.5)
    time.sleep(SETTLE_S)


def suffer(pairs: list[Pair], fault: Fault, lasts_s: float, watch_s: float) -> Iterator[Outcome]:
    """For each pair whose stream lives on, or lives again."""
    began_s = time.monotonic()
    sufferers = pairs[:1] if fault.on_lab else pairs
    before = [(pair.cpu_s(), pair.memory_bytes()) for pair in pairs]
    if fault.begin:
        for pair in sufferers:
            fault.begin(pair)
        time.sleep(lasts_s)
    ended_s = [time.monotonic()] * len(pairs)
    for number, pair in enumerate(sufferers):
        before_s = time.monotonic()
        fault.end(pair)  # what is started again here is waited for; what only happens here may be prepared
        ended_s[number] = before_s if fault.begin else time.monotonic()
    for pair, since_s, (cpu_s, memory_bytes) in zip(pairs, ended_s, before, strict=True):
        try:
            next_s = pair.stream.next_tick(since_s, LOST_S)
            time.sleep(max(0.0, since_s + next_s + watch_s - time.monotonic()))
        except LabError as failure:
            progress(f"{pair.client_host.name}: {failure}")
            continue
        used_s = max(0.0, pair.cpu_s() - cpu_s)  # a program that was killed begins at 0
        yield Outcome(
            next_s,
            pair.stream.longest_pause(since_s + next_s),
            100 * used_s / (time.monotonic() - began_s),
            pair.memory_bytes() - memory_bytes,
        )


def measure(pairs: list[Pair], faults: dict[str, Fault], lasts_s: float, watch_s: float) -> list[list[str]]:
    rows = []
    for name, fault in faults.items():
        settled(pairs, direct=fault.from_direct)
        outcomes = list(suffer(pairs, fault, lasts_s, watch_s))
        name += f", {lasts_s:g} s" if fault.begin else ""
        cells = [f"{len(outcomes)} of {len(pairs)}"]
        if outcomes:
            next_s = [outcome.next_s for outcome in outcomes]
            cells += [
                spread(next_s),
                spread([outcome.then_s for outcome in outcomes]),
                "met" if median(next_s) <= GOAL_S and max(next_s) <= LIMIT_S else "MISSED",
                f"{median([outcome.cpu_percent for outcome in outcomes]):.1f} %",
                f"{median([outcome.gained_bytes for outcome in outcomes]) / 1e6:+.1f} MB",
            ]
        progress(f"{name}: {' '.join(cells)}")
        rows.append([name, *cells, *[""] * (6 - len(cells))])
    return rows


def main() -> None:
    given = arguments(__doc__, runs=5, lasts=60.0, watch=15.0, traffic="fast tuntox vpn", scene="", only="")
    for scene, faults in SCENES.items():
        faults = {name: fault for name, fault in faults.items() if re.search(given.only, name)}
        if given.scene not in scene or not faults:
            continue
        path = "tcp-relay" if scene == "over relays" else "udp"
        for traffic in given.traffic.split():
            with Lab() as lab:
                lab.bootstrap()
                kind = TRAFFIC[traffic]
                pairs = [kind(lab, *hosts(lab, scene, number), path) for number in range(given.runs)]
                rows = measure(pairs, faults, given.lasts, given.watch)
                for pair in pairs:
                    pair.stream.close()
            header = [
                traffic,
                "streams alive",
                "next tick, s",
                "then, s",
                f"p50 {GOAL_S:g} s, all {LIMIT_S:g} s",
            ]
            table(f"{scene}: after the fault, median of {given.runs}", [*header, "CPU", "memory"], rows)


if __name__ == "__main__":
    main()
