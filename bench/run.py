"""Runs all benches, one after the other; those that fail do not stop the others, and are named at the end."""

import subprocess
import sys

from .harness import arguments, module, progress

BENCHES: dict[str, tuple[list[str], list[str]]] = {
    "raw_lossy": ([], ["--runs", "1"]),
    "connect": ([], ["--runs", "2"]),
    "share": ([], ["--runs", "2"]),
    "forward": ([], ["--runs", "1", "--trips", "100", "--seconds", "5"]),
    "relays": ([], ["--runs", "1", "--trips", "20", "--seconds", "2"]),
    "beside": ([], ["--runs", "1", "--pings", "20", "--seconds", "2"]),
    "idle": ([], ["--seconds", "10"]),
    "files": ([], ["--runs", "1", "--megabytes", "100"]),
    "vpn": ([], ["--runs", "1", "--seconds", "2", "--pings", "20"]),
    "sites": ([], ["--runs", "1", "--seconds", "2"]),
    "exit": ([], ["--runs", "1", "--seconds", "2"]),
    "rootless": ([], ["--runs", "1", "--seconds", "2"]),
    "user_router": ([], ["--runs", "1", "--seconds", "2"]),
    "speed": ([], ["--runs", "1", "--seconds", "2"]),
    "outlive": ([], ["--asleep", "5", "--watch", "2", "--traffic", "fast", "--only", "client asleep"]),
    "bloat": ([], ["--rates", "20", "--seconds", "5"]),
    "faults": ([], ["--runs", "1", "--asleep", "5", "--watch", "2", "--traffic", "fast", "--only", "client"]),
    "datagrams": ([], ["--runs", "1", "--game", "5", "--seconds", "2"]),
    "remote": ([], ["--runs", "1", "--seconds", "1"]),
    "roads": ([], ["--limit", "5", "--trips", "20", "--seconds", "2", "--only", "vpn stalled plain 1%"]),
}
"""Each with its arguments, and those of a quick run."""


def main() -> None:
    given = arguments(__doc__, quick=0)
    failed = []
    for name, ways in BENCHES.items():
        progress(name)
        print(flush=True)
        if subprocess.run(module(name, *ways[bool(given.quick)]), check=False).returncode:
            failed.append(name)
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
