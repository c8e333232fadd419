"""systemd-resolved on a booted machine, though this one does not have it.

Installing Debian's package would replace this machine's /etc/resolv.conf; so it is only unpacked
(scripts/setup), and laid over the root of the booted machine.
"""

import os
import shutil
from pathlib import Path

import pytest
from booted import REPOSITORY, Booted

from lab import wait_until

UNPACKED = REPOSITORY / ".venv/systemd-resolved"
SERVICE = "lib/systemd/systemd-resolved"
STUB = "../run/systemd/resolve/stub-resolv.conf"


def require_resolved() -> None:
    """Skips the test, or with CI=true fails it, where there is no systemd-resolved."""
    if any((root / SERVICE).exists() for root in (Path("/"), UNPACKED)):
        return
    reason = "scripts/setup could not unpack systemd-resolved"
    if os.environ.get("CI") == "true":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def start_resolved(booted: Booted) -> None:
    """Make systemd-resolved the machine's resolver, as a distribution that has it does."""
    if not booted.root.joinpath(SERVICE).exists():
        shutil.copytree(UNPACKED, booted.root, symlinks=True, dirs_exist_ok=True)
    booted.run("systemd-sysusers")
    booted.run("ln", "-sf", STUB, "/etc/resolv.conf")
    booted.run("sed", "-i", "s/^hosts:.*/hosts: files dns/", "/etc/nsswitch.conf")
    booted.systemctl("daemon-reload")
    for unit in ("dbus", "systemd-resolved"):
        booted.start(unit)
    wait_until(lambda: booted.run("resolvectl", "status", check=False).returncode == 0, "systemd-resolved")
