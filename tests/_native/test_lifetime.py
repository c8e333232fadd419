"""Compiled objects that were not closed, collected in cycles, where the collector takes them in any order.

Each case runs in a process of its own, which must outlive it.
"""

import subprocess
import sys

import pytest

PREPARE = """
import contextlib, gc, os
from toxvpn.testing.memory_carrier import MemoryCarrier
from toxvpn._native.path.datapath import Datapath
from toxvpn._native.options import Options
from toxvpn._native.path.packets import PacketFormat
from toxvpn._native.path.toxcarrier import ToxCarrier
from toxvpn._native.toxcore import Tox
from toxvpn._native.wakeups import Arrivals, Selector

def cycle(*things, handle=None):
    # the youngest of the cycle: what it holds is cleared before it
    everything = [*things, handle]
    everything.append(everything)
    if handle is not None:
        handle.handler = everything

def tox(**options):
    return Tox(Options(local_discovery=False, **options))

def datapath(carrier):
    return Datapath(carrier, os.open("/dev/null", os.O_RDONLY), PacketFormat.VPN, mtu=1300, vnet_hdr=True)
"""
CASES = {
    "a datapath over Tox": """
        handle = tox()
        cycle(datapath(ToxCarrier(handle)), handle=handle)
    """,
    "datapaths over joined carriers": """
        near, far = MemoryCarrier(), MemoryCarrier()
        near.join(far, 3)
        far.join(near, 3)
        cycle(datapath(near), datapath(far))
    """,
    "a log that Tox writes to as it dies": """
        handle = tox(log=lambda *line: None)
        handle.iterate()
        cycle(handle=handle)
    """,
    "a selector that serves early": """
        handle, selector = tox(), Selector()
        arrivals = Arrivals(handle)
        selector.serve_early(arrivals.fileno(), arrivals)
        cycle(selector, arrivals, handle=handle)
    """,
    "objects that were never begun": """
        cycle(*[kind.__new__(kind) for kind in (Datapath, Tox, Arrivals, MemoryCarrier)])
        with contextlib.suppress(TypeError):
            ToxCarrier.__new__(ToxCarrier)
    """,
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_an_unclosed_object_in_a_cycle_dies_in_peace(case: str) -> None:
    rounds = "for _ in range(5):\n    case()\n    assert gc.collect() > 0\n"
    command = [sys.executable, "-X", "faulthandler", "-c", f"{PREPARE}\ndef case():\n{case}\n{rounds}"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
