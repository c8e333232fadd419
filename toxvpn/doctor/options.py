"""The options of `toxvpn doctor`, made by the command line."""

from dataclasses import dataclass, field
from pathlib import Path

from ..config.options import NodeOptions
from ..members.peers import ConfiguredPeer
from ..tcpforward.spec import Target


@dataclass(frozen=True, slots=True, kw_only=True)
class DoctorOptions(NodeOptions):
    """`toxvpn doctor`: `directory` has the identity to use, None takes a passing one.

    `runtime` is where a running toxvpn that knows the peer has its control socket. `timeout_s` is for
    getting on the network, and once more for reaching the peer.
    """

    peer: ConfiguredPeer | None = None
    secret: bytes | None = field(default=None, repr=False)
    target: Target | None = None
    runtime: Path | None = None
    timeout_s: float = 60.0
