"""What is known to be wrong with the libtoxcore and the Linux below us: the words for a person.

In: the versions (_native/flaws.py), and whether the shield stands (_native/net/netio.pyx). handle.py acts on
it; `toxvpn -V`, `doctor` and the shared node tell.
"""

import logging
import platform

from .._native import toxcore
from .._native.flaws import CURE, flaw_of_segmentation
from .._native.net import netio

log = logging.getLogger("toxvpn")


def describe_libtoxcore() -> str:
    """Its version, and what is wrong with it."""
    return f"libtoxcore {toxcore.version()}" + (f": {toxcore.FLAW}" if toxcore.FLAW else "")


def describe_shield() -> str | None:
    """Whether it stands; None where this libtoxcore needs none."""
    stands = netio.shield()
    if stands is None:
        return None
    return "in force: such datagrams are dropped" if stands.in_force else f"not in force: {stands.reason}"


def describe_exposure() -> str | None:
    """Why any stranger can harm this process; None where nobody can."""
    stands = netio.shield()
    if stands is None or stands.in_force:
        return None
    return f"{describe_libtoxcore()}; the shield against it is not in force: {stands.reason}"


def warn_if_exposed() -> None:
    """As an error, which -q shows too: whoever wants to hear of nothing else has to know this."""
    if (reason := describe_exposure()) is not None:
        log.error("%s; %s", reason, CURE)


def choose_segmentation(asked: bool | None) -> bool:
    """Whether to send several datagrams a system call; unless `asked`, where this kernel does it right."""
    return flaw_of_segmentation(platform.release()) is None if asked is None else asked


def describe_segmentation_flaw() -> str | None:
    """What this kernel does to datagrams that are sent so; None where it does it right."""
    flaw = flaw_of_segmentation(platform.release())
    return None if flaw is None else f"Linux {platform.release()}: {flaw}"
