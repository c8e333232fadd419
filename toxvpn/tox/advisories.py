"""Known flaws of the libtoxcore and the Linux kernel we run on, in words for a person.

In: the versions (_native/flaws.py), and whether the shield is in force (_native/net/netio.pyx). handle.py
acts on them; `toxvpn -V`, `doctor` and the shared node show them.
"""

import logging
import platform

from .._native import toxcore
from .._native.flaws import CURE, flaw_of_segmentation
from .._native.net import netio

log = logging.getLogger("toxvpn")


def describe_libtoxcore() -> str:
    """libtoxcore's version, and its flaw if it has one."""
    return f"libtoxcore {toxcore.version()}" + (f": {toxcore.FLAW}" if toxcore.FLAW else "")


def describe_shield() -> str | None:
    """Whether the shield is in force; None when this libtoxcore needs no shield."""
    stands = netio.shield()
    if stands is None:
        return None
    return "in force: such datagrams are dropped" if stands.in_force else f"not in force: {stands.reason}"


def describe_exposure() -> str | None:
    """The reason why any stranger can harm this process; None when nobody can."""
    stands = netio.shield()
    if stands is None or stands.in_force:
        return None
    return f"{describe_libtoxcore()}; the shield against it is not in force: {stands.reason}"


def warn_if_exposed() -> None:
    """Logs it as an error, so that it is shown with -q too."""
    if (reason := describe_exposure()) is not None:
        log.error("%s; %s", reason, CURE)


def choose_segmentation(asked: bool | None) -> bool:
    """Whether to send several datagrams per system call: as `asked`, or else if this kernel does it right."""
    return flaw_of_segmentation(platform.release()) is None if asked is None else asked


def describe_segmentation_flaw() -> str | None:
    """What this kernel does to datagrams sent in one system call; None when it does it right."""
    flaw = flaw_of_segmentation(platform.release())
    return None if flaw is None else f"Linux {platform.release()}: {flaw}"
