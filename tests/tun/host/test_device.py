import errno
import fcntl
import os
import struct
import subprocess
from pathlib import Path
from unittest.mock import Mock

import pytest

from toxvpn.errors import NoPermissionError, ToxvpnError
from toxvpn.testing.netns import have_namespaces, in_new_netns
from toxvpn.tun.host import device
from toxvpn.tun.host.device import Offload, TunDevice, TunForbiddenError, open_tun

pytestmark = pytest.mark.real

needs_root = pytest.mark.skipif(not have_namespaces(), reason="needs root and /dev/net/tun")


@needs_root
def test_an_opened_device_is_an_interface_that_goes_with_it() -> None:
    def scene() -> tuple[TunDevice, bool, bool, bool, bool]:
        tun = open_tun("toxtest")
        there = Path("/proc/net/dev").read_text().count("toxtest:") == 1
        blocking = os.get_blocking(tun.fd)
        inherited = os.get_inheritable(tun.fd)
        tun.close()
        left = "toxtest:" in Path("/proc/net/dev").read_text()
        return tun, there, blocking, inherited, left

    tun, there, blocking, inherited, left = in_new_netns(scene)
    assert tun.name == "toxtest"
    assert tun.vnet_hdr
    assert Offload.TSO4 | Offload.TSO6 | Offload.CHECKSUM in tun.offload
    assert there and not blocking and not inherited and not left


@needs_root
def test_without_offload_packets_come_bare() -> None:
    tun = in_new_netns(lambda: open_tun("toxtest", offload=False))
    assert (tun.vnet_hdr, tun.offload) == (False, Offload.NONE)


TUNSETPERSIST, TUNSETVNETHDRSZ, TUNGETVNETHDRSZ, TUNSETOFFLOAD = (
    0x400454CB,
    0x400454D8,
    0x800454D7,
    0x400454D0,
)


def leave_behind(name: str) -> None:
    """A persistent TUN as another program has used it: with longer headers, and super-packets."""
    fd = os.open(device.DEVICE_FILE, os.O_RDWR)
    fcntl.ioctl(fd, device._TUNSETIFF, struct.pack("16sH22x", name.encode(), 0x5001))
    fcntl.ioctl(fd, TUNSETVNETHDRSZ, struct.pack("i", 12))
    fcntl.ioctl(fd, TUNSETOFFLOAD, int(Offload.TCP))
    fcntl.ioctl(fd, TUNSETPERSIST, 1)
    os.close(fd)


@needs_root
def test_what_another_program_asked_of_a_persistent_device_is_undone() -> None:
    def header_bytes() -> int:
        leave_behind("toxtest")
        tun = open_tun("toxtest")
        answer = fcntl.ioctl(tun.fd, TUNGETVNETHDRSZ, bytes(4))
        return int(struct.unpack("i", answer)[0])

    def features() -> str:
        leave_behind("toxtest")
        open_tun("toxtest", offload=False)
        return subprocess.run(["ethtool", "-k", "toxtest"], capture_output=True, text=True).stdout

    assert in_new_netns(header_bytes) == 10
    assert "\ntcp-segmentation-offload: off" in in_new_netns(features)


@needs_root
def test_the_kernel_numbers_a_pattern() -> None:
    assert in_new_netns(lambda: [open_tun("tox%d").name, open_tun("tox%d").name]) == ["tox0", "tox1"]


@needs_root
def test_a_taken_name_is_one_line() -> None:
    def scene() -> str:
        open_tun("toxtest")
        with pytest.raises(ToxvpnError) as caught:
            open_tun("toxtest")
        return str(caught.value)

    assert in_new_netns(scene).startswith("the interface toxtest is in use by another program")


def test_the_offered_offload_shrinks_until_the_kernel_takes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """An older kernel refuses a set that it does not know whole."""
    tried: list[int] = []

    def old_kernel(fd: int, request: int, argument: int | bytes) -> int | bytes:
        if isinstance(argument, bytes):
            return argument
        tried.append(argument)
        if argument & (Offload.USO4 | Offload.USO6):
            raise OSError(errno.EINVAL, "Invalid argument")
        return 0

    monkeypatch.setattr(fcntl, "ioctl", old_kernel)
    monkeypatch.setattr(device, "DEVICE_FILE", "/dev/null")
    tun = open_tun("toxtest")
    tun.close()
    assert tun.offload == Offload.TCP
    assert tried == [Offload.ALL, Offload.TCP]


def test_a_kernel_without_vnet_header_gets_the_plain_device(monkeypatch: pytest.MonkeyPatch) -> None:
    def ancient_kernel(fd: int, request: int, argument: int | bytes) -> int | bytes:
        if isinstance(argument, bytes) and argument[17] & 0x40:
            raise OSError(errno.EINVAL, "Invalid argument")
        return argument

    monkeypatch.setattr(fcntl, "ioctl", ancient_kernel)
    monkeypatch.setattr(device, "DEVICE_FILE", "/dev/null")
    tun = open_tun("toxtest")
    tun.close()
    assert (tun.name, tun.vnet_hdr) == ("toxtest", False)


@pytest.mark.parametrize(
    ("code", "kind", "words"),
    [
        (errno.ENOENT, ToxvpnError, "modprobe tun"),
        (errno.ENODEV, ToxvpnError, "modprobe tun"),
        (errno.EPERM, TunForbiddenError, "give the container the device"),
        (errno.EACCES, TunForbiddenError, "chmod 666 .*, or use sudo"),
        (errno.EBUSY, ToxvpnError, "in use"),
        (errno.EINVAL, ToxvpnError, "not a TUN device"),
        (errno.ENOMEM, ToxvpnError, "Cannot allocate memory"),
    ],
)
def test_errors_say_what_to_do(
    monkeypatch: pytest.MonkeyPatch, code: int, kind: type[ToxvpnError], words: str
) -> None:
    def refuse(*_: object) -> int:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(kind, match=words) as caught:
        open_tun("tox0")
    assert "\n" not in str(caught.value)


def test_a_file_of_roots_alone_is_not_a_lack_of_capabilities(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As where there is no udev to give the device its usual mode."""
    (tmp_path / "tun").touch(0o600)
    monkeypatch.setattr(device, "DEVICE_FILE", str(tmp_path / "tun"))
    monkeypatch.setattr(os, "open", Mock(side_effect=PermissionError(errno.EACCES, "Permission denied")))
    with pytest.raises(TunForbiddenError, match=r"cannot open .*/tun \(its mode is 0600\)") as caught:
        open_tun("tox0")
    assert "CAP_NET_ADMIN" not in str(caught.value)


def test_a_lack_of_capabilities_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "DEVICE_FILE", "/dev/null")
    monkeypatch.setattr(fcntl, "ioctl", Mock(side_effect=PermissionError(errno.EPERM, "not permitted")))
    with pytest.raises(NoPermissionError, match="needs root or CAP_NET_ADMIN"):
        open_tun("tox0")


@pytest.mark.parametrize("name", ["", "x" * 16, "ü" * 8])
def test_names_that_no_interface_can_have(name: str) -> None:
    with pytest.raises(ToxvpnError, match="1 to 15 bytes"):
        open_tun(name)
