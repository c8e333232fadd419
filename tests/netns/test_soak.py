"""A short soak: mixed traffic and faults, and every byte is right, everything ends, nothing is kept."""

import math

from bench.soak.rounds import soak
from lab import Lab

SEED, SECONDS = 1, 10.0
"""The laptop gets another address and is offline for a moment; so are the bootstrap nodes, twice."""


async def test_a_round(tox_network: Lab) -> None:
    done = await soak(tox_network, seed=SEED, rounds=range(1, 2), seconds=SECONDS, until_s=math.inf)
    assert done.findings.problems == []
    assert sum(done.findings.bytes.values()) > 1_000_000
