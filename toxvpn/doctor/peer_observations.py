"""The doctor's observations of the peer, and the finding of each; sans-IO, as observations.py."""

from dataclasses import dataclass

from ..errors import PathError, PeerOfflineError, PeerRefusedError, ToxvpnError
from ..wire.ip import MAX_MTU
from ..wire.socks5 import ReplyCode
from .findings import Finding, Layer, failed, limited, ok
from .observations import after


@dataclass(frozen=True, slots=True, kw_only=True)
class FriendRequestSeen:
    """Whether the peer let us in. `asked`: a request was sent; `secret`: with a secret in it.

    `waited_s` as in OwnStatusSeen.
    """

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
            "on the other machine: check that toxvpn runs, that its ID is the one given here, and that "
            f"neither its log nor `toxvpn peer list` shows a refused request; {self._about_the_secret()}",
            PeerOfflineError,
        )

    def _about_the_secret(self) -> str:
        if self.secret:
            return "only there you can see whether the secret is wrong"
        return "no secret was sent from here: give one with --secret-file FILE"


@dataclass(frozen=True, slots=True)
class PathSeen:
    """How the peer is reached. `udp`: whether datagrams get through on our side; None with a proxy.

    `mtu`: the largest packet of the VPN that the path carries; None if not known.
    """

    path: str
    waited_s: float | None
    udp: bool | None = True
    mtu: int | None = None

    def finding(self) -> Finding:
        if self.path == "udp" and self.mtu is not None and self.mtu < MAX_MTU:
            narrow = (
                f"direct, and narrow: it carries packets of up to {self.mtu} bytes, not {MAX_MTU} as most do"
            )
            return ok(Layer.PATH, f"{narrow}; toxvpn sends no larger ones")
        if self.path == "udp":
            return ok(Layer.PATH, "direct")
        if self.path == "none":
            return failed(Layer.PATH, "the peer went offline again", "run this again", PeerOfflineError)
        if self.udp is None:
            return ok(Layer.PATH, "over a TCP relay, as always with a proxy")
        if not self.udp:
            return limited(Layer.PATH, "over a TCP relay, as UDP is blocked here", "see udp")
        return limited(
            Layer.PATH,
            f"over a TCP relay: no direct way was found{after(self.waited_s)}",
            "on one of the two routers, switch on UPnP, NAT-PMP or PCP (see port-mapping), or forward a UDP "
            "port to toxvpn and give it with -u PORT; "
            "or make sure that UDP is not blocked on the other side (`toxvpn doctor` there)",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ProtocolSeen:
    """The peer's protocol. `toxvpn`: whether it is a toxvpn, None if not known; `wire`: its tuntox version.

    `rtt_s` is None if it did not answer.
    """

    toxvpn: bool | None = None
    wire: int | None = None
    rtt_s: float | None = None

    def finding(self) -> Finding:
        name = {True: "toxvpn", False: "tuntox", None: "toxvpn or tuntox"}[self.toxvpn]
        if self.rtt_s is None:
            return failed(
                Layer.PROTOCOL,
                "the peer is online but does not answer a ping",
                "check that the Tox ID belongs to a toxvpn or tuntox, not to a chat program",
                PeerOfflineError,
            )
        wire = "" if self.wire is None else f" in tuntox's version {self.wire}"
        return ok(Layer.PROTOCOL, f"{name}, answered{wire} after {self.rtt_s * 1000:.1f} ms")


@dataclass(frozen=True, slots=True)
class VpnSeen:
    """Whether the peer's kernel answered at each of its addresses on the VPN.

    `stated`: the peer states an address. Without one it may be here for forwards only.
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
                "the peer states no address on the VPN: `toxvpn up` does not run there",
                "start it there; forwards do not need it",
            )
        return failed(
            Layer.VPN,
            f"a packet to {' and '.join(self.silent)} is not answered: a firewall there drops what comes in "
            "through the VPN, or this machine's `allow` there has no rule for it, or it may not use the VPN",
            f"on the peer: `ufw allow in on {self.interface}`, or `firewall-cmd --zone=trusted "
            f"--add-interface={self.interface}`, or the like; `toxvpn policy` there tells what this machine "
            "may reach, and `toxvpn peer allow` changes that; if `toxvpn status` there shows no address of "
            "this machine, let it on the VPN with `toxvpn peer add` and `--may vpn`",
            PathError,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RoadSeen:
    """The road that streams take, and why; `toxvpn`: whether the peer is a toxvpn."""

    name: str
    why: str
    toxvpn: bool

    def finding(self) -> Finding:
        detail = f"{self.name}: {self.why}"
        if self.name == "fast" or not self.toxvpn:  # a tuntox has no other
            return ok(Layer.ROAD, detail)
        return limited(Layer.ROAD, detail, "see private-stack, and `toxvpn doctor` on the other machine")


REFUSALS: dict[ReplyCode, tuple[type[ToxvpnError], str]] = {
    ReplyCode.NOT_ALLOWED: (
        PeerRefusedError,
        "on the other machine: allow it in the rules (-f FILE), or start a server (`toxvpn` alone)",
    ),
    ReplyCode.CONNECTION_REFUSED: (
        ToxvpnError,
        "on the other machine: start what should listen there, or check which address it listens on",
    ),
    ReplyCode.TIMED_OUT: (
        PeerOfflineError,
        "check that the target is up, and that no firewall is between the server and it",
    ),
}


@dataclass(frozen=True, slots=True)
class TargetSeen:
    """Whether the target could be opened; `refusal`: the code and the reason in words, or None."""

    target: str
    refusal: tuple[ReplyCode, str] | None = None

    def finding(self) -> Finding:
        if self.refusal is None:
            return ok(Layer.TARGET, f"{self.target} accepts connections")
        code, text = self.refusal
        kind, fix = REFUSALS.get(code, (ToxvpnError, "try the name on the other machine, which resolves it"))
        return failed(Layer.TARGET, f"{self.target}: {text}", fix, kind)
