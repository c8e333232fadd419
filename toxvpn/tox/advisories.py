"""Known flaws of the libtoxcore and the Linux kernel we run on, in words for a person.

In: the versions (_native/flaws.py), and whether the shield is in force (_native/net/netio.pyx). handle.py
acts on them; `toxvpn -V`, `doctor` and the shared node show them.
"""

import logging
import platform
from pathlib import Path

from .._native import toxcore
from .._native.flaws import CURE, flaw_of_segmentation
from .._native.net import netio

log = logging.getLogger("toxvpn")

BUNDLE = "toxvpn.libs"
"""The folder beside the package where a wheel has its libraries (auditwheel)."""


def describe_libtoxcore() -> str:
    """libtoxcore's version, whether our wheel brought it, and its flaw or what a patch fixed in it."""
    name = f"libtoxcore {toxcore.version()}"
    if Path(toxcore.file()).parent.name == BUNDLE:
        name += ", bundled"
    if toxcore.FLAW is not None:
        return f"{name}: {toxcore.FLAW}"
    return f"{name}: {toxcore.PATCHED} is fixed in it by a patch" if toxcore.PATCHED else name


def describe_shield() -> str | None:
    """Whether the shield is in force; None when no libtoxcore of this version needs one."""
    stands = netio.shield()
    if stands is None:
        return None
    return "in force: such datagrams are dropped" if stands.in_force else f"not in force: {stands.reason}"


def describe_exposure() -> str | None:
    """The reason why any stranger can harm this process; None when nobody can."""
    stands = netio.shield()
    if toxcore.FLAW is None or stands is None or stands.in_force:
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
