"""Asks the running toxvpn to let a command into its network, if that is one that commands enter.

In: the directory of its control socket. Out: what it takes to enter. Neighbours: daemon/user_network.py
answers where there is one; usernet/enter.py enters.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import ToxvpnError
from .client import call

if TYPE_CHECKING:
    from .protocol import ControlRequest
    from .server import Handler

JOIN = "join"
NETWORK_VARIABLE = "TOXVPN_NETWORK"
"""In the environment of a command that is in such a network: the process that owns it."""

ON_THIS_MACHINE = "the network is up on this machine already: run the command without `toxvpn exec`"
NO_NETWORK = (
    "the toxvpn that runs here has no network for commands: stop it with `toxvpn down`, "
    "or give exec a directory of its own with -C DIR"
)


@dataclass(frozen=True, slots=True)
class Joined:
    """`owner`: the process that owns the namespaces; `internet`: whether there is a way to the Internet."""

    owner: int
    resolv_conf: Path
    internet: bool


def join(runtime: Path, process: int) -> Joined:
    """Enters `process` as a command that uses the network.

    Raises NotRunningError; ToxvpnError when what runs there has its network on this machine, or none.
    """
    answer = call(runtime, JOIN, process=process)
    return Joined(answer["owner"], Path(answer["resolv_conf"]), answer["internet"])


def refuse_to_join(is_up: bool) -> "Handler":
    """The answer to `toxvpn exec` of a run that has no network of the user's; `is_up`: but the machine's."""

    async def refuse(_: "ControlRequest") -> object:
        raise ToxvpnError(ON_THIS_MACHINE if is_up else NO_NETWORK)

    return refuse
