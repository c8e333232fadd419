"""Known flaws of versions of libtoxcore and of Linux, recognised by the version.

A distribution may have fixed a flaw without changing the version; what we do about it then costs little. The
libtoxcore in our wheels says which flaws a patch has fixed in it (packaging/wheel).
Neighbours: toxcore.pyx asks for the shield; tox/advisories.py has the words for it.
docs/decisions/0007-shield.md lists the flaws that cannot reach us.
"""

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Flaw:
    """A flaw. `harm` says what can happen; `cure` is the first version without it."""

    name: str
    harm: str
    cure: str

    def __str__(self) -> str:
        return f"{self.harm} ({self.name}, fixed in {self.cure})"


ANNOUNCE = Flaw("GHSA-42vg-9mg3-399f", "any stranger can crash it with five datagrams", "libtoxcore 0.2.23")
BAD_SEGMENTS = Flaw("tailscale#19777", "it corrupts UDP datagrams that are sent in batches", "Linux 7.1.5")

CURE = "leave TOXVPN_SOCKETS=off out if it is set, or install a libtoxcore without the flaw"
"""The advice where the shield is not in force."""


def flaw_of_libtoxcore(version: tuple[int, int, int], patched: str | None = None) -> Flaw | None:
    """The flaw of this version (major, minor, patch) that the shield is against (shield.h).

    `patched`: the names of the flaws that were fixed in this very library, with spaces between.
    """
    if ANNOUNCE.name in (patched or "").split():
        return None
    return ANNOUNCE if (0, 2, 19) <= version < (0, 2, 23) else None


def flaw_of_segmentation(release: str) -> Flaw | None:
    """The flaw of a kernel's UDP segmentation; `release` as uname(2) gives it, e.g. `6.12.43+deb13-amd64`.

    None also for a release that cannot be parsed.
    """
    found = re.match(r"(\d+)\.(\d+)(?:\.(\d+))?", release)
    if found is None:
        return None
    version = tuple(int(part or 0) for part in found.groups())
    return BAD_SEGMENTS if (7, 0, 0) <= version < (7, 1, 5) else None
