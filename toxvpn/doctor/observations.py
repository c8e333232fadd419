"""The doctor's observations of this machine and of the network, and the finding of each; sans-IO.

Neighbours: examine.py and running.py make the observations, peer_observations.py has those of the peer.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from .._native.flaws import CURE
from ..errors import ConfigError, PeerOfflineError
from .findings import Finding, Layer, failed, limited, ok

NOT_ASKED = "the router is not asked: port mapping is switched off, or there is a proxy"


class Observation(Protocol):
    """What was observed in one layer."""

    def finding(self) -> Finding: ...


# -- this machine ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class LibrarySeen:
    """The versions in use, and what is wrong with them.

    `libtoxcore`: its version and flaws. `shield`: the state of the shield, in words; `exposed`: any stranger
    can crash libtoxcore. `off`: the parts of our network under libtoxcore that are not in force, and why.
    `bad_segmentation`: what this kernel does to batches of datagrams; `segmentation`: whether datagrams are
    sent as batches all the same.
    """

    toxvpn: str
    libtoxcore: str
    shield: str | None = None
    exposed: bool = False
    off: Mapping[str, str] = field(default_factory=dict)
    bad_segmentation: str | None = None
    segmentation: bool = True

    def finding(self) -> Finding:
        parts = [f"toxvpn {self.toxvpn}, {self.libtoxcore}"]
        if self.shield is not None:
            parts.append(f"the shield is {self.shield}")
        parts += [f"{part} is not in force: {reason}" for part, reason in self.off.items()]
        if not self.off:
            parts.append("all parts in force")
        if self.bad_segmentation is not None:
            parts.append(
                self.bad_segmentation + ("" if self.segmentation else ": datagrams are sent one by one")
            )
        detail = "; ".join(parts)
        if self.exposed:
            return limited(Layer.LIBRARY, detail, CURE)
        if self.bad_segmentation is not None and self.segmentation:
            return limited(Layer.LIBRARY, detail, "leave udp_segmentation out of [node] in config.toml")
        return ok(Layer.LIBRARY, detail)


SYSCTLS = {
    "kernel.unprivileged_userns_clone": "1",
    "kernel.apparmor_restrict_unprivileged_userns": "0",
    "user.max_user_namespaces": "15000",
}
"""The sysctls that can forbid a private stack (tcpforward/fast/helper.py), with the value that allows it."""
IN_A_CONTAINER = (
    "give a container --device /dev/net/tun and, where user namespaces are blocked, "
    "--cap-add SYS_ADMIN --cap-add NET_ADMIN; elsewhere run 'modprobe tun' as root"
)


@dataclass(frozen=True, slots=True)
class PrivateStackSeen:
    """Whether a private stack could be made; `missing`: why not, or None."""

    missing: str | None

    def finding(self) -> Finding:
        if self.missing is None:
            return ok(Layer.PRIVATE_STACK, "forwards can take the fast road")
        for name, value in SYSCTLS.items():
            if name in self.missing:
                fix = f"as root: sysctl -w {name}={value}"
                break
        else:
            fix = IN_A_CONTAINER
        return limited(Layer.PRIVATE_STACK, f"forwards take the tuntox road: {self.missing}", fix)


# -- the network ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class NodesSeen:
    """The list of bootstrap nodes: how many there are, and which of their names have no address."""

    total: int
    source: str
    unresolved: tuple[str, ...] = ()
    addresses: int = 0

    def finding(self) -> Finding:
        listed = f"{self.total} bootstrap nodes in {self.source}"
        if not self.addresses:
            return failed(
                Layer.NODES,
                f"{listed}, and none of their names can be resolved ({', '.join(self.unresolved[:3])}, …)",
                "check whether this machine can resolve names at all: getent hosts " + self.unresolved[0],
                ConfigError,
            )
        without = f", {len(self.unresolved)} of their names have no address" if self.unresolved else ""
        return ok(Layer.NODES, listed + without)


@dataclass(frozen=True, slots=True, kw_only=True)
class BootstrapSeen:
    """How many of the `asked` nodes answered over UDP, and how many as TCP relays.

    `path` is our own connection by then: once on the network, we have found a node, even if none answered.
    """

    asked: int
    udp: int
    tcp: int
    path: str = "none"

    def finding(self) -> Finding:
        if self.udp or self.tcp or self.path != "none":
            answered = f"of {self.asked} nodes, {self.udp} answer over UDP and {self.tcp} as TCP relays"
            return ok(Layer.BOOTSTRAP, answered)
        return failed(
            Layer.BOOTSTRAP,
            f"none of {self.asked} nodes answers, neither over UDP nor over TCP",
            "check whether this machine reaches the Internet, and whether the list is current: "
            "-b FILE takes another one, in the format of nodes.tox.chat/json",
            PeerOfflineError,
        )


@dataclass(frozen=True, slots=True)
class ProxySeen:
    """Replaces BootstrapSeen where a proxy is used; `refusal`: why it cannot be reached."""

    proxy: str
    refusal: str | None = None

    def finding(self) -> Finding:
        if self.refusal is None:
            return ok(Layer.BOOTSTRAP, f"{self.proxy} accepts connections; no node was asked without it")
        return failed(
            Layer.BOOTSTRAP,
            f"{self.proxy} cannot be reached: {self.refusal}",
            "start the proxy, or give the right one (--proxy, ALL_PROXY, or proxy in [node] of config.toml)",
            PeerOfflineError,
        )


@dataclass(frozen=True, slots=True)
class UdpSeen:
    """Whether datagrams are answered."""

    bootstrap: BootstrapSeen

    @property
    def through(self) -> bool:
        return self.bootstrap.udp > 0 or self.bootstrap.path == "udp"

    def finding(self) -> Finding:
        if self.through:
            return ok(Layer.UDP, "datagrams are answered")
        return limited(
            Layer.UDP,
            "no datagram is answered: everything goes over TCP relays only, which is slow",
            "allow outgoing UDP in the firewall (to any port, or at least to 33445)",
        )


@dataclass(frozen=True, slots=True)
class OwnStatusSeen:
    """Our connection. `waited_s`: None if a running toxvpn was asked; `refused`: its `refused_offload`."""

    path: str
    waited_s: float | None
    refused: tuple[str, ...] = ()

    def finding(self) -> Finding:
        if self.path != "none" and self.refused:
            return limited(
                Layer.OWN_STATUS,
                f"on the Tox network, {WORDS[self.path]}, but this kernel refuses super-packets of "
                f"{' and '.join(self.refused)}: the VPN is slower than it could be",
                "use another kernel: Linux 6.6.44, 6.10.2 and 6.10.3 are known to do this",
            )
        if self.path != "none":
            return ok(Layer.OWN_STATUS, f"on the Tox network, {WORDS[self.path]}")
        return failed(
            Layer.OWN_STATUS,
            f"not on the Tox network{after(self.waited_s)}, although nodes answer",
            "try other nodes (-b FILE); -d logs each attempt",
            PeerOfflineError,
        )


@dataclass(frozen=True, slots=True)
class PortMappingSeen:
    """What the router does for us: `endpoint` and `protocol` of a mapping, or the `problem`."""

    endpoint: str | None = None
    protocol: str | None = None
    problem: str | None = None

    def finding(self) -> Finding:
        """Never worse than ok: most paths are found without it."""
        if self.endpoint is not None:
            return ok(Layer.PORT_MAPPING, f"the router passes on UDP from {self.endpoint} ({self.protocol})")
        return ok(Layer.PORT_MAPPING, f"none: {self.problem or 'the router has not answered yet'}")


def after(waited_s: float | None) -> str:
    """The time, as the end of a clause."""
    return " yet" if waited_s is None else f" after {waited_s:.0f} s"


WORDS = {"udp": "over UDP", "tcp-relay": "over TCP relays only", "none": "not connected"}
