"""Asks the process that has the identity to let go of it: a shared node does so when no command uses it.

In: the directory of its control socket. Out: whether it ends now. Neighbours: share/node.py ends;
daemon/identity.py and cli/ask.py ask.
"""

from pathlib import Path

from ..errors import ToxvpnError
from ..state.identity import IdentityInUseError
from .client import call

GIVE_WAY = "give-way"
"""The control command of shared nodes alone; the answer says whether the node ends."""
IN_USE = (
    "a command such as `toxvpn ssh` uses this identity now: wait for its end, or let one `toxvpn run` call "
    "all peers, which such commands then use together"
)


def gives_way(runtime: Path) -> bool:
    """False when nobody answers, or it is no shared node. Raises IdentityInUseError when it is in use."""
    try:
        ends = call(runtime, GIVE_WAY)
    except ToxvpnError:
        return False
    if not ends:
        raise IdentityInUseError(IN_USE)
    return True
