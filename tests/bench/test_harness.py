"""What the benches compare with is what they say it is."""

import os
import subprocess
import sys

from bench.harness import STOCK

IN_FORCE = (
    "from toxvpn._native import toxcore; from toxvpn._native.net import netio; "
    "print(*(name for name, hook in netio.hooks()._asdict().items() if hook.in_force))"
)


def test_stock_is_libtoxcore_as_it_comes() -> None:
    argv = [sys.executable, "-c", IN_FORCE]
    ran = subprocess.run(argv, env={**os.environ, **STOCK}, capture_output=True, text=True, check=True)
    assert ran.stdout.split() == []
