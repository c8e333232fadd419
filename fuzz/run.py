"""Runs of targets: how they are started, and what they said.

A target in Python runs in fuzz.single, under atheris. With the sanitized build (scripts/sanitize --build) its
fuzzer also sees what happens in compiled code; with the usual one, in Python alone. One in C is a program.
"""

import importlib.util
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from . import corpus, native

ROOT = Path(__file__).parents[1]
SANITIZED = ROOT / "build" / "sanitized"
WORK = ROOT / "build" / "fuzz"
"""A folder for the inputs of each target that were found here, and NAME.log, what its last run said."""
LARGEST_BYTES = 4096
"""Of an input: longer ones are slower, and find little more."""
SLOW_S = 20
"""An input that takes longer is a finding."""
MEMORY_MB = 2048
_SAID = re.compile(r"^#(\d+)\s.*?cov: (\d+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run gave; `code` is 0, or it has found something."""

    name: str
    code: int
    inputs: int
    branches: int


def options(*, seconds: int = 0, runs: int = 0, seed: int = 0) -> list[str]:
    """libFuzzer's: the most inputs, and seconds (0: any); the same inputs each time with a `seed`."""
    limits = {"-runs": runs, "-max_total_time": seconds, "-seed": seed}
    return [
        *(f"{name}={value}" for name, value in limits.items() if value),
        f"-max_len={LARGEST_BYTES}",
        "-len_control=10",  # inputs may soon be long: many are stories
        f"-timeout={SLOW_S}",
        f"-rss_limit_mb={MEMORY_MB}",
    ]


def run(names: list[str], arguments: list[str], work: Path = WORK, *, plain: bool = False) -> list[Outcome]:
    """Runs the targets, one after the other: all of them in Python, or one in C."""
    for name in names:
        corpus.unpack(name, work / name)
    if names[0] in native.PROGRAMS:
        return [_run_program(names[0], arguments, work)]
    return _run_python(names, arguments, work, plain=plain)


def _run_program(name: str, arguments: list[str], work: Path) -> Outcome:
    argv = [str(native.built(name)), f"-artifact_prefix={work}/{name}-", *arguments, str(work / name)]
    with work.joinpath(f"{name}.log").open("wb") as log:
        code = subprocess.run(argv, stdout=log, stderr=log, check=False).returncode
    return _outcome(name, code, work)


def _run_python(names: list[str], arguments: list[str], work: Path, *, plain: bool) -> list[Outcome]:
    wanted = [f"{name}={work / name}" for name in names]
    argv = [sys.executable, "-m", "fuzz.single", *arguments, "--", *wanted]
    environment = dict(os.environ) if plain else os.environ | _sanitized()
    done = subprocess.run(
        argv,
        cwd=ROOT if plain else SANITIZED,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    codes = dict(line.split() for line in done.stdout.splitlines())
    if not codes:
        raise RuntimeError(done.stderr)
    return [_outcome(name, int(codes.get(name, 1)), work) for name in names]


def _sanitized() -> dict[str, str]:
    """The environment in which Python loads the sanitized build."""
    found = importlib.util.find_spec("atheris")
    assert found is not None
    assert found.origin is not None
    return {
        # an allocation of its own for each object, so that reading beyond one is noticed
        "PYTHONMALLOC": "malloc",
        "LD_PRELOAD": str(Path(found.origin).parents[1] / "asan_with_fuzzer.so"),
        "ASAN_OPTIONS": "detect_leaks=0",
        "UBSAN_OPTIONS": "print_stacktrace=1",
    }


def _outcome(name: str, code: int, work: Path) -> Outcome:
    log = work / f"{name}.log"
    said = _SAID.findall(log.read_text(errors="replace")) if log.exists() else []
    inputs, branches = map(int, said[-1]) if said else (0, 0)
    return Outcome(name, code, inputs, branches)
