"""A record of each lab and of the process that made it, so that the next run can clean up after a killed one.

There is a record per lab, /run/toxvpn-lab/<lab>, with the process that made it (number and start time,
as numbers are reused) and its directory. It is written before the first namespace is made and removed after
the last one is.
"""

import contextlib
import json
import os
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

from . import processes

RECORDS = Path("/run/toxvpn-lab")


@dataclass(frozen=True, slots=True)
class Record:
    lab: str
    pid: int
    start_time: int  # in clock ticks after boot, /proc/PID/stat field 22
    directory: str


def register(lab: str, directory: Path) -> Record:
    record = Record(lab, os.getpid(), _start_time(os.getpid()) or 0, str(directory))
    RECORDS.mkdir(mode=0o700, exist_ok=True)
    draft = RECORDS / f".{lab}"
    draft.write_text(json.dumps(asdict(record)))
    draft.rename(RECORDS / lab)
    return record


def erase(record: Record) -> None:
    """Remove all there is of the lab: processes, namespaces, files, and the record last."""
    processes.erase(record.lab)
    shutil.rmtree(record.directory, ignore_errors=True)
    with contextlib.suppress(FileNotFoundError):
        RECORDS.joinpath(record.lab).unlink()


def sweep() -> list[str]:
    """Erase the labs whose makers no longer run, and return their names."""
    abandoned = [record for record in _records() if _start_time(record.pid) != record.start_time]
    for record in abandoned:
        erase(record)
    return [record.lab for record in abandoned]


def _records() -> list[Record]:
    records = []
    for path in sorted(RECORDS.glob("tv-*")):
        with contextlib.suppress(FileNotFoundError):  # swept by somebody else at the same time
            records.append(Record(**json.loads(path.read_text())))
    return records


def _start_time(pid: int) -> int | None:
    try:
        fields = Path("/proc", str(pid), "stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    state, start_time = fields[0], fields[19]
    return None if state == "Z" else int(start_time)
