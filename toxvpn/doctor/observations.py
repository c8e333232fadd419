"""What the doctor makes of what it saw, sans-IO: an observation of each layer in, one report out.

A layer is `ok`; or `limited`: it works, but less well than it could; or `failed`, and then those after
it are `skipped`, for each needs the ones before. Neighbours: examine.py and running.py look,
cli/doctor.py shows.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from .._native.flaws import CURE
from ..errors import ConfigError, PathError, PeerOfflineError, PeerRefusedError, ToxvpnError
from ..wire.ip import MAX_MTU
from ..wire.socks5 import ReplyCode

SCHEMA = 1


class Layer(StrEnum):
    """In the order in which each rests on those before it."""

    LIBRARY = "library"
    PRIVATE_STACK = "private-stack"
    NODES = "nodes"
    BOOTSTRAP = "bootstrap"
    UDP = "udp"
    OWN_STATUS = "own-status"
    FRIEND_REQUEST = "friend-request"
    PATH = "path"
    PROTOCOL = "protocol"
    VPN = "vpn"
    ROAD = "road"
    TARGET = "target"


class State(StrEnum):
    OK = "ok"
    LIMITED = "limited"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """`fix` is what to do about it; `seconds` is how long looking took."""

    layer: Layer
    state: State
    detail: str
    fix: str | None = None
    exit_code: int = 0
    seconds: float | None = None


def ok(layer: Layer, detail: str) -> Finding:
    return Finding(layer=layer, state=State.OK, detail=detail)


def limited(layer: Layer, detail: str, fix: str) -> Finding:
    return Finding(layer=layer, state=State.LIMITED, detail=detail, fix=fix, exit_code=PathError.exit_code)


def failed(layer: Layer, detail: str, fix: str | None, kind: type[ToxvpnError]) -> Finding:
    return Finding(layer=layer, state=State.FAILED, detail=detail, fix=fix, exit_code=kind.exit_code)


class Observation(Protocol):
    """What was seen of one layer."""

    def finding(self) -> Finding: ...


# -- this machine ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class LibrarySeen:
    """`libtoxcore` is its version, and what is wrong with it; `shield` whether that is kept from harm, and
    `exposed` that it is not. `off`: the parts of our network under libtoxcore that are not in force, and why.
    `bad_segmentation`: what this kernel does to datagrams sent so; `segmentation`: they are, all the same.
    """

    toxvpn: str
    libtoxcore: str
    shield: str | None = None
    exposed: bool = False
    off: Mapping[str, str] = field(default_factory=dict)
    bad_segmentation: str | None = None
    segmentation: bool = True

    def finding(self) -> Finding:
        told = [f"toxvpn {self.toxvpn}, {self.libtoxcore}"]
        if self.shield is not None:
            told.append(f"the shield is {self.shield}")
        told += [f"{part} is not in force: {reason}" for part, reason in self.off.items()]
        if not self.off:
            told.append("all parts in force")
        if self.bad_segmentation is not None:
            told.append(self.bad_segmentation + ("" if self.segmentation else ": they are sent singly"))
        detail = "; ".join(told)
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
"""What `private_stack` asks for where one of these is in its way (tcpforward/fast/helper.py)."""
IN_A_CONTAINER = (
    "in a container give it --device /dev/net/tun and, where user namespaces are blocked, "
    "--cap-add SYS_ADMIN --cap-add NET_ADMIN; elsewhere 'modprobe tun' as root"
)


@dataclass(frozen=True, slots=True)
class PrivateStackSeen:
    """`missing`: why there is none; None where it could be had."""

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
        return limited(Layer.PRIVATE_STACK, f"forwards take the tuntox road: {self.missing.rstrip('.')}", fix)


# -- the network ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class NodesSeen:
    """The list of bootstrap nodes: how many, and which of their names have no address."""

    total: int
    source: str
    unresolved: tuple[str, ...] = ()
    addresses: int = 0

    def finding(self) -> Finding:
        listed = f"{self.total} bootstrap nodes in {self.source}"
        if not self.addresses:
            return failed(
                Layer.NODES,
                f"{listed}, and no name of them can be resolved ({', '.join(self.unresolved[:3])}, …)",
                "see whether this machine can resolve names at all: getent hosts " + self.unresolved[0],
                ConfigError,
            )
        without = f", {len(self.unresolved)} of their names without an address" if self.unresolved else ""
        return ok(Layer.NODES, listed + without)


@dataclass(frozen=True, slots=True, kw_only=True)
class BootstrapSeen:
    """Of `asked` nodes, how many answered over UDP, and how many as TCP relays.

    `path` is our own connection by then: who is in the network has found a node, whatever the others do.
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
            f"none of {self.asked} nodes answers, over UDP or TCP",
            "see whether this machine reaches the Internet, and whether the list is right: "
            "-b FILE gives another one, as nodes.tox.chat/json has it",
            PeerOfflineError,
        )


@dataclass(frozen=True, slots=True)
class ProxySeen:
    """Instead of BootstrapSeen where all goes through a proxy; `refusal`: why it cannot be reached."""

    proxy: str
    refusal: str | None = None

    def finding(self) -> Finding:
        if self.refusal is None:
            return ok(Layer.BOOTSTRAP, f"{self.proxy} takes connections; nobody was asked around it")
        return failed(
            Layer.BOOTSTRAP,
            f"{self.proxy} cannot be reached: {self.refusal}",
            "start the proxy, or give the right one (--proxy, ALL_PROXY, proxy of [node] in config.toml)",
            PeerOfflineError,
        )


@dataclass(frozen=True, slots=True)
class UdpSeen:
    """Whether datagrams come back."""

    bootstrap: BootstrapSeen

    @property
    def through(self) -> bool:
        return self.bootstrap.udp > 0 or self.bootstrap.path == "udp"

    def finding(self) -> Finding:
        if self.through:
            return ok(Layer.UDP, "datagrams come back")
        return limited(
            Layer.UDP,
            "no datagram comes back: everything goes over TCP relays only, which is slow",
            "let UDP out through the firewall (to any port, or at least to 33445)",
        )


@dataclass(frozen=True, slots=True)
class OwnStatusSeen:
    """`waited_s` None: nobody has waited, a running toxvpn was asked. `refused` is its `refused_offload`."""

    path: str
    waited_s: float | None
    refused: tuple[str, ...] = ()

    def finding(self) -> Finding:
        if self.path != "none" and self.refused:
            return limited(
                Layer.OWN_STATUS,
                f"on the Tox network, {WORDS[self.path]}, but this kernel refuses super-packets of "
                f"{' and '.join(self.refused)}: the VPN is slower than it could be",
                "use another kernel: Linux 6.6.44, 6.10.2 and 6.10.3 are known for it",
            )
        if self.path != "none":
            return ok(Layer.OWN_STATUS, f"on the Tox network, {WORDS[self.path]}")
        return failed(
            Layer.OWN_STATUS,
            f"not on the Tox network{after(self.waited_s)}, though there are answers",
            "try other nodes (-b FILE); with -d it tells what becomes of each attempt",
            PeerOfflineError,
        )


def after(waited_s: float | None) -> str:
    return " yet" if waited_s is None else f" after {waited_s:.0f} s"


WORDS = {"udp": "over UDP", "tcp-relay": "over TCP relays only", "none": "not connected"}


# -- the peer -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class FriendRequestSeen:
    """`asked`: a request was sent; `secret`: with the shared secret in it. `waited_s` as in OwnStatusSeen."""

    peer: str
    online: bool
    waited_s: float | None
    asked: bool = True
    secret: bool = True

    def finding(self) -> Finding:
        if self.online:
            return ok(Layer.FRIEND_REQUEST, f"{self.peer} has let us in and is online")
        sent = "sent" if self.asked else "not sent, as only its key is known"
        return failed(
            Layer.FRIEND_REQUEST,
            f"{self.peer} has not answered{after(self.waited_s)} (request {sent}): it is not running, "
            "not on the network, or does not let us in",
            "on the other machine: see that toxvpn runs, that its ID is the one given here, and that its log "
            f"and `toxvpn peer list` tell of no refused request; {self._about_the_secret()}",
            PeerOfflineError,
        )

    def _about_the_secret(self) -> str:
        if self.secret:
            return "only there is told whether the secret is wrong"
        return "no secret was sent from here: --secret-file FILE gives one"


@dataclass(frozen=True, slots=True)
class PathSeen:
    """`udp`: whether datagrams get through on our side; None: they are not to, there is a proxy.

    `mtu`: the largest packet of a VPN that the path carries; None: not known.
    """

    path: str
    waited_s: float | None
    udp: bool | None = True
    mtu: int | None = None

    def finding(self) -> Finding:
        if self.path == "udp" and self.mtu is not None and self.mtu < MAX_MTU:
            narrow = f"direct, and narrow: it carries packets of {self.mtu} bytes (mostly it is {MAX_MTU})"
            return ok(Layer.PATH, f"{narrow}, which toxvpn heeds")
        if self.path == "udp":
            return ok(Layer.PATH, "direct")
        if self.path == "none":
            return failed(Layer.PATH, "the peer was lost again", "ask again", PeerOfflineError)
        if self.udp is None:
            return ok(Layer.PATH, "over a TCP relay, as all that goes through a proxy")
        if not self.udp:
            return limited(Layer.PATH, "over a TCP relay, as UDP is blocked here", "see udp")
        return limited(
            Layer.PATH,
            f"over a TCP relay: no direct way was found{after(self.waited_s)}",
            "on one of the two routers, forward a UDP port to toxvpn and give it with -u PORT; "
            "or see that UDP is not blocked on the other side (`toxvpn doctor` there)",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ProtocolSeen:
    """`toxvpn`: it says it is one of ours (None: not known); `wire`: tuntox's version of its answer.

    `rtt_s` is None when it gave no answer.
    """

    toxvpn: bool | None = None
    wire: int | None = None
    rtt_s: float | None = None

    def finding(self) -> Finding:
        name = {True: "toxvpn", False: "tuntox", None: "toxvpn or tuntox"}[self.toxvpn]
        if self.rtt_s is None:
            return failed(
                Layer.PROTOCOL,
                "the peer is online and does not answer a ping",
                "is that Tox ID a toxvpn's or tuntox's, and not a chat program's?",
                PeerOfflineError,
            )
        wire = "" if self.wire is None else f" in tuntox's version {self.wire}"
        return ok(Layer.PROTOCOL, f"{name}, answered{wire} after {self.rtt_s * 1000:.1f} ms")


@dataclass(frozen=True, slots=True)
class VpnSeen:
    """Whether the peer's kernel answered what was sent to each of its addresses on the network.

    `stated`: the peer says that it has one. It may have no VPN, and be here for forwards.
    """

    interface: str
    answered: tuple[str, ...] = ()
    silent: tuple[str, ...] = ()
    stated: bool = True

    def finding(self) -> Finding:
        if not self.silent:
            return ok(Layer.VPN, f"packets are answered from {' and '.join(self.answered)}")
        if not self.stated:
            return limited(
                Layer.VPN,
                "the peer states no address on the network: no `toxvpn up` runs there",
                "start it there; forwards need none",
            )
        return failed(
            Layer.VPN,
            f"a packet to {' and '.join(self.silent)} gets no answer: a firewall drops what comes in there "
            "through the VPN, or this machine is not let on the network there",
            f"on the peer let it in: `ufw allow in on {self.interface}`, or `firewall-cmd --zone=trusted "
            f"--add-interface={self.interface}`, or whatever made the rules there; where `toxvpn status` "
            "shows no address of this machine, `toxvpn peer add` with `--may vpn` lets it on the network",
            PathError,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RoadSeen:
    """`name` is the road that streams take, `why` the reason for it; `toxvpn`: the peer is one of ours."""

    name: str
    why: str
    toxvpn: bool

    def finding(self) -> Finding:
        detail = f"{self.name}: {self.why}"
        if self.name == "fast" or not self.toxvpn:  # a tuntox knows no other
            return ok(Layer.ROAD, detail)
        return limited(Layer.ROAD, detail, "see private-stack, and `toxvpn doctor` on the other machine")


REFUSALS: dict[ReplyCode, tuple[type[ToxvpnError], str]] = {
    ReplyCode.NOT_ALLOWED: (
        PeerRefusedError,
        "on the other machine: allow it in the rules (-f FILE), or serve at all (`toxvpn` alone)",
    ),
    ReplyCode.CONNECTION_REFUSED: (
        ToxvpnError,
        "on the other machine: start what should listen there, or see which address it listens on",
    ),
    ReplyCode.TIMED_OUT: (PeerOfflineError, "is the target up, and does a firewall let the server reach it?"),
}


@dataclass(frozen=True, slots=True)
class TargetSeen:
    """`refusal`: the code and the reason in words; None when it was opened."""

    target: str
    refusal: tuple[ReplyCode, str] | None = None

    def finding(self) -> Finding:
        if self.refusal is None:
            return ok(Layer.TARGET, f"{self.target} takes connections")
        code, text = self.refusal
        kind, fix = REFUSALS.get(
            code, (ToxvpnError, "the name is resolved on the other machine: try it there")
        )
        return failed(Layer.TARGET, f"{self.target}: {text}", fix, kind)


# -- all of it ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Report:
    """One finding for each layer, in order."""

    findings: tuple[Finding, ...]

    @property
    def problem(self) -> Finding | None:
        """The first layer that fails; when none does, the first that is limited."""
        for state in (State.FAILED, State.LIMITED):
            for finding in self.findings:
                if finding.state is state:
                    return finding
        return None

    @property
    def exit_code(self) -> int:
        return 0 if self.problem is None else self.problem.exit_code


def report(findings: Iterable[Finding], not_asked: Mapping[Layer, str]) -> Report:
    """With a skipped finding for every layer that was not looked at, `not_asked` saying why."""
    seen = {finding.layer: finding for finding in findings}
    broken = any(finding.state is State.FAILED for finding in seen.values())
    return Report(tuple(seen.get(layer) or _skipped(layer, not_asked, broken) for layer in Layer))


def _skipped(layer: Layer, not_asked: Mapping[Layer, str], broken: bool) -> Finding:
    reason = not_asked.get(layer) or ("a layer below it fails" if broken else "not looked at")
    return Finding(layer=layer, state=State.SKIPPED, detail=reason)


def document(report: Report) -> dict[str, Any]:
    """What `--json` prints; keys may be added, none will go."""
    problem = report.problem
    return {
        "schema": SCHEMA,
        "ok": problem is None,
        "problem": None if problem is None else problem.layer.value,
        "exit_code": report.exit_code,
        "layers": [
            {
                "layer": each.layer.value,
                "status": each.state.value,
                "detail": each.detail,
                "fix": each.fix,
                "seconds": None if each.seconds is None else round(each.seconds, 3),
            }
            for each in report.findings
        ],
    }
