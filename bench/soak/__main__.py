"""The command line of the soak."""

import asyncio
import sys
import time

from lab import Lab

from ..harness import arguments
from . import __doc__ as description
from .report import report
from .rounds import soak

NODES = 32
"""toxcore leads its onion paths through the last 32 nodes that it has met, and forgets none of them until it
meets another. Machines that come and go leave many dead ones there, unless the network is as large."""


def main() -> None:
    given = arguments(description, minutes=60.0, seed=1, first=1, rounds=10_000, seconds=60.0)
    until_s = time.monotonic() + given.minutes * 60
    with Lab() as lab:
        lab.bootstrap(NODES)
        rounds = range(given.first, given.first + given.rounds)
        done = asyncio.run(soak(lab, seed=given.seed, rounds=rounds, seconds=given.seconds, until_s=until_s))
    sys.exit(0 if report(done) else 1)


if __name__ == "__main__":
    main()
