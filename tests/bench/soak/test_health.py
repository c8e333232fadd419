"""What is more than before: processes, namespaces, tasks, descriptors, threads, memory, work."""

import os
import subprocess
from dataclasses import replace

from bench.soak.health import Held, Sample, busy, growth, leaks, sample

RUN = Held("python3 toxvpn run", {"socket": 10, "/dev/null": 2}, threads=3, memory_kb=40_000, cpu_s=5.0)
FIRST = Sample({(10, 1): RUN}, namespaces=1, tasks=16)


def with_run(run: Held) -> Sample:
    return replace(FIRST, processes={(10, 1): run})


def test_as_before() -> None:
    assert leaks(FIRST, FIRST) == []
    assert busy(FIRST, with_run(replace(RUN, cpu_s=5.1)), 2.0) == []
    assert growth([FIRST] * 4) == []


def test_each_of_it() -> None:
    assert leaks(FIRST, replace(FIRST, namespaces=2)) == ["2 network namespaces, 1 before"]
    assert leaks(FIRST, replace(FIRST, tasks=17)) == ["17 tasks, 16 before"]
    more = replace(RUN, descriptors={"socket": 30, "/dev/null": 2}, threads=4)
    assert leaks(FIRST, with_run(more)) == [
        "python3 toxvpn run: 32 descriptors, 12 before; more of {'socket': 20}",
        "python3 toxvpn run: 4 threads, 3 before",
    ]
    assert busy(FIRST, with_run(replace(RUN, cpu_s=6.0)), 2.0) == [
        "python3 toxvpn run: 50% of a processor while nothing goes on"
    ]
    grown = [with_run(replace(RUN, memory_kb=kb)) for kb in (20_000, 40_000, 50_000, 60_000)]
    assert growth(grown) == ["python3 toxvpn run: 60000 kB, 40000 kB before"]


def test_processes_by_kind() -> None:
    again = Sample({(11, 5): RUN}, namespaces=1, tasks=16)
    assert leaks(FIRST, again) == []
    assert leaks(FIRST, Sample({**FIRST.processes, **again.processes}, 1, 16)) == [
        "1 more of the process 'python3 toxvpn run'"
    ]
    assert leaks(FIRST, Sample({}, 1, 16)) == ["1 fewer of the process 'python3 toxvpn run'"]


def test_only_processes_of_the_sessions_are_looked_at() -> None:
    with subprocess.Popen(["sleep", "60"], start_new_session=True) as process:
        try:
            found = sample([process.pid], tasks=3)
        finally:
            process.kill()
    [(key, held)] = found.processes.items()
    assert key[0] == process.pid != os.getpid()
    assert (held.what, held.threads, found.namespaces, found.tasks) == ("sleep 60", 1, 1, 3)
    assert held.memory_kb > 0 and held.total >= 3
