"""The process that fuzzes targets in Python: `python -m fuzz.single OPTION… -- NAME=FOLDER…`.

The options are libFuzzer's. What toxvpn imports is instrumented once; each target then runs in a fork, since
libFuzzer ends its process. For each a line `NAME EXIT-CODE` is printed; what else it says is in FOLDER.log.
"""

import os
import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["toxvpn", "fuzz.targets"], enable_loader_override=False):
    from fuzz.targets import TARGETS


def fuzz(name: str, folder: Path, options: list[str]) -> int:
    child = os.fork()
    if child == 0:
        log = os.open(f"{folder}.log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        for stream in (1, 2):
            os.dup2(log, stream)
        atheris.Setup([name, f"-artifact_prefix={folder}-", *options, str(folder)], TARGETS[name])
        atheris.Fuzz()
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


if __name__ == "__main__":
    split = sys.argv.index("--")
    for each in sys.argv[split + 1 :]:
        name, _, folder = each.partition("=")
        sys.stdout.write(f"{name} {fuzz(name, Path(folder), sys.argv[1:split])}\n")
        sys.stdout.flush()
