"""All figures, one after the other; what fails is told at the end and does not stop the others."""

import subprocess
import sys
from pathlib import Path

from harness import arguments, progress

HERE = Path(__file__).parent
BENCHES: dict[str, tuple[list[str], list[str]]] = {
    "raw_lossy.py": ([], ["--runs", "1"]),
    "connect.py": ([], ["--runs", "2"]),
    "share.py": ([], ["--runs", "2"]),
    "forward.py": ([], ["--runs", "1", "--trips", "100", "--seconds", "5"]),
    "beside.py": ([], ["--runs", "1", "--pings", "20", "--seconds", "2"]),
    "idle.py": ([], ["--seconds", "10"]),
    "vpn.py": ([], ["--runs", "1", "--seconds", "2", "--pings", "20"]),
    "bloat.py": ([], ["--rates", "20", "--seconds", "5"]),
    "roads.py": ([], ["--limit", "5", "--trips", "20", "--seconds", "2", "--only", "vpn stalled plain 1%"]),
}
"""Each with its arguments, and those of a quick run."""


def main() -> None:
    given = arguments(__doc__, quick=0)
    failed = []
    for name, ways in BENCHES.items():
        progress(name)
        print(flush=True)
        if subprocess.run([sys.executable, HERE / name, *ways[bool(given.quick)]], check=False).returncode:
            failed.append(name)
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
