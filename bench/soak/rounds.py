"""Round by round: traffic with faults, then everything has to work, to end and to be given back."""

import asyncio
import re
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from random import Random

from lab import Lab

from ..harness import progress
from . import health
from .faults import BOX, LAPTOP, NODES, Scene, plan, suffer
from .machines import Machine
from .work import WORKERS, Findings, Work

CONNECT_S = 90.0
SLOW_S, DRAIN_S = 10.0, 120.0
REST_S = 2.0
GIVEN_BACK_S = 120.0
"""TCP repeats what is lost at ever longer intervals: a stream whose peer was killed ends late."""
COMMANDS_AT_ONCE = 32
BAD_WORDS = ("Traceback", "never retrieved", "never awaited", "Fatal Python", "ERROR")


class Soak:
    """Two machines in a lab with bootstrap nodes; `findings` and `samples` (of each machine) grow."""

    def __init__(self, lab: Lab, seed: int) -> None:
        self.findings = Findings()
        self.samples: dict[str, list[health.Sample]] = {}
        self._seed = seed
        self._logs: dict[Path, int] = {}
        nat = lab.nat("nat")
        box, laptop = Machine("box", lab, lab.host("box")), Machine("laptop", lab, nat.host("laptop"))
        box.introduce(laptop)
        laptop.introduce(box)
        self._scene = Scene(lab, box, laptop, nat)
        self._work = Work(self._scene.machines, self.findings)

    async def start(self) -> None:
        """Returns when everything works, with a first sample taken."""
        for machine in self._scene.machines:
            machine.listen()
            await asyncio.to_thread(machine.start)
        for machine in self._scene.machines:
            await asyncio.to_thread(machine.toxvpn, "wait", "--timeout", str(CONNECT_S), "other")
            machine.learn_addresses()
        await self._work.probe()
        await self._rest()
        progress("every way works")

    async def close(self) -> None:
        for machine in self._scene.machines:
            await machine.close()

    async def round(self, number: int, seconds: float) -> None:
        """All of round `number`, with traffic and faults for so many seconds."""
        self.findings.context = f"round {number}"
        until_s = time.monotonic() + seconds
        workers = [
            asyncio.create_task(self._work.worker(f"{self._seed}/{number}/{worker}", until_s))
            for worker in range(WORKERS)
        ]
        await self._faults(number, seconds)
        await asyncio.sleep(max(0.0, until_s - time.monotonic()))
        await self._work.probe()
        progress("every way works again")
        await self._drain(workers)
        progress("all that was under way has ended")
        await self._rest()

    async def _faults(self, number: int, seconds: float) -> None:
        box, laptop = self._scene.machines
        suffering = []
        for subject, machine, faults in (
            ("box", box, BOX),
            ("laptop", laptop, LAPTOP),
            ("nodes", box, NODES),
        ):
            events = [*plan(Random(f"{self._seed}/{number}/{subject}"), faults, seconds)]
            progress(f"round {number}, {subject}: {'; '.join(map(str, events)) or 'nothing'}")
            self.findings.faults.update(event.fault.name for event in events)
            suffering.append(suffer(self._scene, machine, events, self.findings.problem))
        await asyncio.gather(*suffering)

    async def _drain(self, workers: Sequence["asyncio.Task[None]"]) -> None:
        """Whatever is under way has to end."""
        _, still = await asyncio.wait(workers, timeout=SLOW_S)
        for task in still:
            progress(f"still under way: {task.get_name()}")
        _, still = await asyncio.wait(workers, timeout=DRAIN_S)
        for task in still:
            self.findings.problem(f"stands still {DRAIN_S:g} s after everything works: {task.get_name()}")
            task.cancel()
        for outcome in await asyncio.gather(*workers, return_exceptions=True):
            if isinstance(outcome, Exception):
                self.findings.problem(f"the traffic itself failed: {outcome!r}")

    async def _rest(self) -> None:
        """Looks at what the programs hold, until it is no more than at first, and at what they logged."""
        for machine in self._scene.machines:
            deadline_s = time.monotonic() + GIVEN_BACK_S
            while (problems := await self._too_much(machine)) and time.monotonic() < deadline_s:
                pass
            for problem in problems:
                self.findings.problem(f"{machine.name}: {problem}")
            self.samples.setdefault(machine.name, []).append(self._sample(machine))
            self._read_logs(machine)

    async def _too_much(self, machine: Machine) -> list[str]:
        before = self._sample(machine)
        await asyncio.sleep(REST_S)
        now = self._sample(machine)
        first = self.samples.get(machine.name, [now])[0]
        return [*machine.crashed(), *health.leaks(first, now), *health.busy(before, now, REST_S)]

    @staticmethod
    def _sample(machine: Machine) -> health.Sample:
        metrics = machine.toxvpn("metrics").stdout
        tasks = re.search(r"^toxvpn_tasks ([\d.]+)", metrics, re.M)
        return health.sample(machine.sessions, int(float(tasks[1])) if tasks else 0)

    def _read_logs(self, machine: Machine) -> None:
        for program in machine.programs:
            with suppress(FileNotFoundError), program.log.open(errors="replace") as log:
                log.seek(self._logs.get(program.log, 0))
                said = log.read()
                self._logs[program.log] = log.tell()
                for word in BAD_WORDS:
                    if (at := said.find(word)) >= 0:
                        self.findings.problem(
                            f"{program.log.name} of {machine.name}: {said[max(0, at - 200) :][:3000]}"
                        )
                        break


async def soak(lab: Lab, *, seed: int, rounds: range, seconds: float, until_s: float) -> Soak:
    """Rounds of so many seconds of faults each; none begins after `until_s` (time.monotonic)."""
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(COMMANDS_AT_ONCE))
    soak = Soak(lab, seed)
    await soak.start()
    for number in rounds:
        if time.monotonic() > until_s:
            break
        await soak.round(number, seconds)
        progress(f"round {number} has ended: {len(soak.findings.problems)} problems so far")
    await soak.close()
    return soak
