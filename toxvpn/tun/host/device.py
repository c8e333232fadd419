"""Opens a TUN device. In: the interface's name; out: a descriptor of IP packets, and what it can offload.

Neighbours: the compiled datapath reads and writes the descriptor, `netconf` gives the interface its
addresses. A process in a private network namespace opens its device here too, and passes the descriptor on.
Constants: linux/if_tun.h.
"""

import errno
import fcntl
import os
import struct
from enum import IntFlag

from ...errors import NoPermissionError, ToxvpnError

DEVICE_FILE = "/dev/net/tun"
NAME_BYTES = 15  # IFNAMSIZ less the closing NUL

_TUNSETIFF = 0x400454CA
_TUNSETOFFLOAD = 0x400454D0
_TUNSETVNETHDRSZ = 0x400454D8
_IFF_TUN = 0x0001
_IFF_NO_PI = 0x1000
_IFF_VNET_HDR = 0x4000

VNET_HEADER_BYTES = 10


class TunForbiddenError(NoPermissionError):
    """The device file cannot be opened, whatever capabilities we have."""


class Offload(IntFlag):
    """Work that the kernel may leave to us in the packets it hands over (TUN_F_* of linux/if_tun.h)."""

    NONE = 0
    CHECKSUM = 0x01
    TSO4 = 0x02
    TSO6 = 0x04
    TSO_ECN = 0x08
    USO4 = 0x20
    USO6 = 0x40

    TCP = CHECKSUM | TSO4 | TSO6 | TSO_ECN
    ALL = TCP | USO4 | USO6  # UDP segmentation came with Linux 6.2


# The kernel accepts or refuses a whole set, so the best one is tried first.
_OFFLOAD_SETS = (Offload.ALL, Offload.TCP, Offload.TCP & ~Offload.TSO_ECN, Offload.CHECKSUM, Offload.NONE)


class TunDevice:
    """An open TUN interface: one IP packet per read and write, without tun_pi.

    With `vnet_hdr` each packet has a 10-byte struct virtio_net_hdr before it, in host byte order.
    The interface goes away with the last copy of `fd`.
    """

    __slots__ = ("fd", "name", "offload", "vnet_hdr")

    def __init__(self, fd: int, name: str, vnet_hdr: bool, offload: Offload) -> None:
        self.fd = fd
        self.name = name
        self.vnet_hdr = vnet_hdr
        self.offload = offload

    def close(self) -> None:
        os.close(self.fd)


def open_tun(name: str = "tox%d", *, offload: bool = True) -> TunDevice:
    """Makes the interface `name` (at most 15 bytes; `%d` is replaced by a free number).

    The descriptor is non-blocking and closed on exec. Raises NoPermissionError (TunForbiddenError for the
    device file itself), or ToxvpnError when the machine has no TUN driver or the name is taken.
    """
    if not 0 < len(name.encode()) <= NAME_BYTES:
        raise ToxvpnError(f"{name!r} is not a valid interface name: it must have 1 to {NAME_BYTES} bytes")
    try:
        fd = os.open(DEVICE_FILE, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    except PermissionError as error:
        raise TunForbiddenError(_describe_closed(error)) from error
    except OSError as error:
        raise _open_error(error, name) from error
    try:
        return _attach(fd, name, offload)
    except OSError as error:
        os.close(fd)
        raise _open_error(error, name) from error


def _attach(fd: int, name: str, offload: bool) -> TunDevice:
    """Sets header size and offload too: a persistent interface keeps those of its last user."""
    if offload:
        try:
            actual = _set_interface(fd, name, _IFF_TUN | _IFF_NO_PI | _IFF_VNET_HDR)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
        else:
            fcntl.ioctl(fd, _TUNSETVNETHDRSZ, struct.pack("i", VNET_HEADER_BYTES))
            return TunDevice(fd, actual, True, _negotiate(fd))
    actual = _set_interface(fd, name, _IFF_TUN | _IFF_NO_PI)
    fcntl.ioctl(fd, _TUNSETOFFLOAD, int(Offload.NONE))
    return TunDevice(fd, actual, False, Offload.NONE)


def _set_interface(fd: int, name: str, flags: int) -> str:
    answer = fcntl.ioctl(fd, _TUNSETIFF, struct.pack("16sH22x", name.encode(), flags))
    return answer[:16].split(b"\0", 1)[0].decode()


def _negotiate(fd: int) -> Offload:
    for wanted in _OFFLOAD_SETS:
        try:
            fcntl.ioctl(fd, _TUNSETOFFLOAD, int(wanted))
        except OSError:
            continue
        return wanted
    return Offload.NONE


def _describe_closed(error: PermissionError) -> str:
    if error.errno == errno.EPERM:  # the devices of its control group
        return f"{DEVICE_FILE} cannot be used here: give the container the device ('--device {DEVICE_FILE}')"
    try:
        mode = f" (its mode is {os.stat(DEVICE_FILE).st_mode & 0o777:04o})"  # noqa: PTH116
    except OSError:
        mode = ""
    return f"this user cannot open {DEVICE_FILE}{mode}: allow it with 'chmod 666 {DEVICE_FILE}', or use sudo"


def _open_error(error: OSError, name: str) -> ToxvpnError:
    """The error to raise for a device that could not be opened, with the remedy."""
    if error.errno in {errno.ENOENT, errno.ENODEV, errno.ENXIO}:
        return ToxvpnError(
            f"there is no TUN driver ({DEVICE_FILE}: {error.strerror}): load it with 'modprobe tun', "
            f"or give the container the device ('--device {DEVICE_FILE}')"
        )
    if error.errno in {errno.EPERM, errno.EACCES}:
        return NoPermissionError(
            "making a network interface needs root or CAP_NET_ADMIN: run it with sudo, or without root as "
            f"`toxvpn up --user`; or give the container that capability ({error.strerror})"
        )
    if error.errno == errno.EBUSY:
        return ToxvpnError(
            f"the interface {name} is in use by another program: stop it, or choose another name"
        )
    if error.errno == errno.EINVAL:
        return ToxvpnError(f"the interface {name} exists and is not a TUN device: choose another name")
    return ToxvpnError(f"the TUN device {name} cannot be opened: {error.strerror}")
