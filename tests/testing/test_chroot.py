"""Leaving a chroot. Everything happens in a child process and a mount namespace of its own."""

import os
import subprocess
from pathlib import Path

import pytest

from toxvpn.testing.chroot import leave_chroot
from toxvpn.testing.netns import have_namespaces, in_new_netns

pytestmark = pytest.mark.skipif(not have_namespaces(), reason="needs root")


def user_namespaces() -> bool:
    return subprocess.run(["unshare", "--user", "true"], check=False, capture_output=True).returncode == 0


def test_who_is_in_no_chroot_stays_where_it_is() -> None:
    def child() -> tuple[bool, str, bool]:
        os.chdir("/usr")
        return leave_chroot(), os.getcwd(), user_namespaces()  # noqa: PTH109

    assert in_new_netns(child) == (False, "/usr", True)


def test_who_is_in_one_sees_the_same_as_before_and_has_user_namespaces(tmp_path: Path) -> None:
    """The chroot is a copy of the root by `mount --rbind`, with a file more."""

    def child() -> tuple[bool, bool, bool, str, list[str]]:
        os.chroot(root)
        os.chdir("/tmp")
        denied = not user_namespaces()
        left = leave_chroot()
        return denied, left, user_namespaces(), os.getcwd(), os.listdir("/marked")  # noqa: PTH109, PTH208

    root = tmp_path / "root"
    root.mkdir()

    def with_mounts() -> tuple[bool, bool, bool, str, list[str]]:
        leave_chroot()  # for a mount namespace of our own
        subprocess.run(["mount", "-t", "tmpfs", "none", root], check=True)
        for name in ("marked", "tmp", "proc"):
            root.joinpath(name).mkdir()
        root.joinpath("marked/file").touch()
        for name in ("usr", "etc", "dev"):
            root.joinpath(name).mkdir()
            subprocess.run(["mount", "--rbind", f"/{name}", root / name], check=True)
        for name in ("bin", "sbin", "lib", "lib64"):
            root.joinpath(name).symlink_to(f"usr/{name}")
        subprocess.run(["mount", "-t", "proc", "proc", root / "proc"], check=True)
        return child()

    assert in_new_netns(with_mounts) == (True, True, True, "/tmp", ["file"])
