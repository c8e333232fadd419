"""The content of config.toml as one frozen value: its sections, each a table of keys (keys.py).

To add a key, add a row to its section, and use the value where it matters.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .node import NODE, NodeSection
from .peers import FORWARD, PEER, REMOTE, SOCKS, ForwardSection, PeerSection, RemoteForwardSection
from .server import SERVER, ServerSection
from .vpn import VPN, VpnSection

SECTIONS = (NODE, SERVER, VPN, PEER, FORWARD, SOCKS, REMOTE)
"""Every section that config.toml can have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """`path` None: there is no file. `given` has every key that the file sets, e.g. `server.open`.

    `secret` does not come from the file: it was given for this run, and overrides that of [server]. `owner`
    is the user whose file it is, where root reads another user's: it may then name that user's secrets only.
    """

    path: Path | None = None
    owner: int | None = None
    secret: bytes | None = field(default=None, repr=False)
    node: NodeSection = field(default_factory=NodeSection)
    server: ServerSection | None = None
    vpn: VpnSection | None = None
    peers: Mapping[str, PeerSection] = field(default_factory=dict)
    forwards: tuple[ForwardSection, ...] = ()
    remote_forwards: tuple[RemoteForwardSection, ...] = ()
    given: Mapping[str, Any] = field(default_factory=dict)
