"""The traffic of a round, and what is wrong with how it went."""

import asyncio
import hashlib
import os
import re
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from random import Random

from lab import LabError

from ..harness import progress
from .content import Content
from .datagrams import exchange
from .machines import Machine, Program
from .streams import TOKEN_BYTES, Carried, Ending, Plan, carry
from .ways import DATAGRAMS, STREAMS, Way

WORKERS = 16
FILE_BYTES = 10_000_000
TRIES = 3
PROBE_BYTES = 20_000
BACK_S = 90.0
"""Every way has to work again that long after the last fault."""
TRY_S = 15.0
PINGS = 20
LOG_LINES = 40
WEIGHTS = {"stream": 60, "datagrams": 12, "pings": 8, "file": 8, "speed": 3, "command": 3}


COMMANDS = {"file", "speed", "command"}


class Findings:
    """What was carried, and every problem."""

    def __init__(self) -> None:
        self.outcomes: Counter[tuple[str, str]] = Counter()
        self.bytes: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()
        self.problems: list[str] = []
        self.back_s: list[float] = []
        self.context = "before the first round"

    def count(self, what: str, outcome: str, size: int = 0) -> None:
        self.outcomes[what, outcome] += 1
        self.bytes[what] += size

    def problem(self, text: str) -> None:
        """Notes it, and says it at once."""
        self.problems.append(f"{self.context}: {text}")
        progress(f"PROBLEM {self.problems[-1]}")


def problem_of(way: Way, here: Machine, there: Machine, began_s: float, carried: Carried) -> str:
    """What is wrong with how a stream ended; "" for nothing.

    A process that is killed has its sockets closed by the kernel, which may look like an end. A peer that
    waits without having anything to say learns of that kill much later.
    """
    near_killed = way.near is not None and way.near(here).ended_since(began_s)
    far_killed = way.far is not None and way.far(there).ended_since(began_s)
    near, far = carried.near, carried.far
    if Ending.WRONG in (near, far):
        return "wrong bytes"
    if near is Ending.CUT and not near_killed:
        return "cut short at the caller, without a reset"
    if far is Ending.CUT and not far_killed:
        return "cut short at the target, without a reset"
    if near is Ending.WHOLE and far is not Ending.WHOLE:
        return f"whole at the caller, and at the target {far.value if far else 'it never came'}"
    if far is Ending.LEFT and not near_killed:
        return "the target was not told that it had ended"
    return ""


class Work:
    """Traffic between two machines, in both directions."""

    def __init__(self, machines: Sequence[Machine], findings: Findings) -> None:
        self._machines = machines
        self._findings = findings
        self._kinds: dict[str, Callable[[Machine, Machine, Random], Awaitable[None]]] = {
            "stream": self._stream,
            "datagrams": self._datagrams,
            "pings": self._pings,
            "file": self._file,
            "speed": self._speed,
            "command": self._command,
        }

    async def worker(self, seed: str, until_s: float) -> None:
        """One piece of work after the other until then; the last one to its end."""
        random = Random(seed)
        while time.monotonic() < until_s:
            piece = Random(random.random())
            here, there = piece.sample(self._machines, 2)
            [kind] = piece.choices([*WEIGHTS], [*WEIGHTS.values()])
            _doing(f"{kind} from {here.name}")
            if here.is_on or kind not in COMMANDS:
                await self._kinds[kind](here, there, piece)
            else:
                await asyncio.sleep(1.0)

    async def probe(self) -> None:
        """Waits until every way works again, in both directions; a problem for each that does not."""
        began_s = time.monotonic()
        pairs = [self._machines, self._machines[::-1]]
        await asyncio.gather(
            *(self._probe_stream(way, here, there, began_s) for here, there in pairs for way in STREAMS),
            *(
                self._probe_datagrams(name, here, there, began_s)
                for here, there in pairs
                for name in DATAGRAMS
            ),
        )

    # -- kinds of work

    async def _stream(self, here: Machine, there: Machine, random: Random) -> None:
        way = random.choice(STREAMS)
        plan = Plan.of(random, way.most_bytes)
        _doing(f"{way.name} from {here.name}, {plan}")
        began_s = time.monotonic()
        try:
            sock = await way.dial(here, there)
        except OSError as error:
            self._findings.count(way.name, "not begun")
            if way.steady and way.near and not way.near(here).ended_since(began_s):
                self._findings.problem(f"{way.name} from {here.name}: the listener has gone: {error}")
            return
        carried = await carry(sock, there.listener, plan)
        self._findings.count(way.name, carried.near.value, carried.bytes)
        if problem := problem_of(way, here, there, began_s, carried):
            self._findings.problem(f"{way.name} from {here.name}: {problem} ({plan})")

    async def _datagrams(self, here: Machine, there: Machine, random: Random) -> None:
        name = random.choice([*DATAGRAMS])
        with suppress(OSError):
            sock = await DATAGRAMS[name](here, there)  # an error: the forward's port is in use by another one
            echoed = await exchange(sock, random, random.randint(10, 300), random.choice((0.0, 0.01, 0.05)))
            self._findings.count(name, "back", echoed.back)
            if echoed.wrong:
                self._findings.problem(f"{name} from {here.name}: {echoed.wrong} datagrams were changed")

    async def _pings(self, here: Machine, there: Machine, random: Random) -> None:
        size = random.randint(16, 2000)
        argv = ["ping", "-n", "-c", str(PINGS), "-i", "0.1", "-W", "1", "-s", str(size), there.ipv4]
        printed = (await asyncio.to_thread(here.host.run, argv, check=False)).stdout
        self._findings.count("ping", "sets", printed.count("time="))
        if "wrong data" in printed:
            self._findings.problem(f"ping from {here.name}: {printed}")

    async def _file(self, here: Machine, there: Machine, random: Random) -> None:
        name = f"{random.getrandbits(64):016x}"
        size = random.randint(0, FILE_BYTES)
        file, arrived = here.host.directory / "outgoing" / name, there.received / name
        data = Content(name).take(size)
        file.write_bytes(data)
        code, said, began_s = -1, "", time.monotonic()
        for _ in range(TRIES):
            if not here.is_on:
                break
            code, said = await self._toxvpn(here, "send", str(file), "other")
            if code == 0:
                break
            await asyncio.sleep(2.0)
        file.unlink()
        self._findings.count("file", "whole" if code == 0 else "given up", size if code == 0 else 0)
        if code == 0 and _digest(arrived.read_bytes()) != _digest(data):
            self._findings.problem(f"file {name} of {size} bytes from {here.name} has arrived wrong")
        elif code and not any(p.ended_since(began_s) for m in self._machines for p in m.programs):
            self._findings.problem(f"file {name} from {here.name} was given up: {said}")
        if arrived.exists():
            arrived.unlink()

    async def _speed(self, here: Machine, there: Machine, random: Random) -> None:
        code, _ = await self._toxvpn(here, "speed", "other", "--time", "1", "--json")
        self._findings.count("speed", f"code {code}")

    async def _command(self, here: Machine, there: Machine, random: Random) -> None:
        words = random.choice((["status", "--json"], ["ping", "-c", "2", "other"], ["metrics"], ["reload"]))
        code, _ = await self._toxvpn(here, *words)
        self._findings.count(words[0], f"code {code}")

    async def _toxvpn(self, here: Machine, *words: str) -> tuple[int, str]:
        """The exit code of a command, and its errors: a traceback, or no end, is a problem."""
        try:
            ran = await asyncio.to_thread(here.toxvpn, *words)
        except LabError as error:
            self._findings.problem(f"toxvpn {' '.join(words)} on {here.name}: {error}")
            return -1, ""
        if re.search(r"Traceback|Error:", ran.stderr):
            self._findings.problem(f"toxvpn {' '.join(words)} on {here.name}: {ran.stderr}")
        return ran.returncode, ran.stderr.strip()

    # -- whether everything works again

    async def _probe_stream(self, way: Way, here: Machine, there: Machine, began_s: float) -> None:
        last: object = "nothing"
        while time.monotonic() < began_s + BACK_S:
            plan = Plan(os.urandom(TOKEN_BYTES), PROBE_BYTES, PROBE_BYTES, PROBE_BYTES, pause_s=0.0)
            try:
                async with asyncio.timeout(TRY_S):
                    carried = await carry(await way.dial(here, there), there.listener, plan)
                last = carried
                if carried.near is Ending.WHOLE:
                    self._findings.back_s.append(time.monotonic() - began_s)
                    return
            except (OSError, TimeoutError) as error:
                last = repr(error)
            await asyncio.sleep(0.5)
        self._findings.problem(
            f"{way.name} from {here.name} does not work {BACK_S:g} s after the faults: {last}\n"
            + "\n".join(
                _log_of(program(machine))
                for program, machine in ((way.near, here), (way.far, there))
                if program
            )
        )

    async def _probe_datagrams(self, name: str, here: Machine, there: Machine, began_s: float) -> None:
        random = Random(began_s)
        while time.monotonic() < began_s + BACK_S:
            with suppress(OSError):
                echoed = await exchange(await DATAGRAMS[name](here, there), random, 3, 0.1)
                if echoed.back:
                    return
            await asyncio.sleep(0.5)
        self._findings.problem(f"{name} from {here.name} does not work {BACK_S:g} s after the faults")


def _log_of(program: Program) -> str:
    """The end of what it said."""
    said = program.log.read_text(errors="replace").splitlines()
    return "\n".join([f"-- {program.log}", *said[-LOG_LINES:]])


def _digest(data: bytes) -> str:
    return hashlib.blake2b(data).hexdigest()


def _doing(what: str) -> None:
    """Says it, for a report on a task that does not end."""
    task = asyncio.current_task()
    assert task
    task.set_name(what)
