"""Asks the running toxvpn to let a command into its network, if that is one that commands enter.

In: the directory of its control socket. Out: what it takes to enter. Neighbours: daemon/user_network.py
answers; usernet/enter.py enters.
"""

from dataclasses import dataclass
from pathlib import Path

from .client import call

JOIN = "join"
NETWORK_VARIABLE = "TOXVPN_NETWORK"
"""In the environment of a command that is in such a network: the process that owns it."""


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
