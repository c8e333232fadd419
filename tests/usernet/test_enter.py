"""A command gets its names from its network alone, whatever is in /etc/resolv.conf and nsswitch.conf."""

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from toxvpn import linux
from toxvpn.testing.netns import have_namespaces, in_child
from toxvpn.usernet.enter import RESOLV_CONF, cover_names

pytestmark = pytest.mark.skipif(not have_namespaces(), reason="needs root and mount namespaces")

MS_REC, MS_PRIVATE = 0x4000, 0x40000
RESOLVED = Path("/run/systemd/resolve")
OURS, THEIRS = "nameserver 127.0.0.1\n", "nameserver 127.0.0.53\n"


def machine_of_our_own() -> None:
    """Its /etc and /run are empty, but for the socket of systemd-resolved and its resolv.conf."""
    linux.unshare(linux.CLONE_NEWNS)
    linux.mount("none", "/", flags=MS_REC | MS_PRIVATE)
    for directory in ("/etc", "/run"):
        linux.mount("tmpfs", directory, "tmpfs")
    RESOLVED.mkdir(parents=True)
    (RESOLVED / "stub-resolv.conf").write_text(THEIRS)
    with socket.socket(socket.AF_UNIX) as varlink:
        varlink.bind(str(RESOLVED / "io.systemd.Resolve"))


def a_file() -> None:
    RESOLV_CONF.write_text(THEIRS)


def a_link_to_resolved() -> None:
    RESOLV_CONF.symlink_to("../run/systemd/resolve/stub-resolv.conf")


def a_link_to_a_file_of_anothers() -> None:
    Path("/run/resolvconf").mkdir()
    Path("/run/resolvconf/resolv.conf").write_text(THEIRS)
    RESOLV_CONF.symlink_to("/run/resolvconf/resolv.conf")


@pytest.mark.parametrize("make", [a_file, a_link_to_resolved, a_link_to_a_file_of_anothers])
def test_resolv_conf_is_covered_and_resolved_is_hidden(make: Callable[[], None], tmp_path: Path) -> None:
    ours = tmp_path / "resolv.conf"
    ours.write_text(OURS)

    def run() -> tuple[str, bool]:
        make()
        cover_names(ours)
        return RESOLV_CONF.read_text(), (RESOLVED / "io.systemd.Resolve").exists()

    assert in_child(machine_of_our_own, run) == (OURS, False)


@pytest.mark.parametrize("target", [None, "/run/nowhere/resolv.conf"])
def test_without_a_file_the_c_library_asks_this_machine(target: str | None, tmp_path: Path) -> None:
    """There is nothing to cover, and nothing is made."""

    def run() -> bool:
        if target is not None:
            RESOLV_CONF.symlink_to(target)
        cover_names(tmp_path / "resolv.conf")
        return os.path.exists(RESOLV_CONF)  # noqa: PTH110

    assert in_child(machine_of_our_own, run) is False
