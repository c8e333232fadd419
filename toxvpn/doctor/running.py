"""The doctor's questions to a toxvpn that runs already: it holds the identity, and the peer knows it.

In: where its control socket is. Out: findings from its status, and from a ping by it.
"""

from pathlib import Path
from typing import Any

from ..control.client import ANSWER_S, ControlClient
from ..errors import PeerOfflineError
from ..members.known import ConfiguredPeer
from .layers import Walk
from .network import way_in
from .nodes import Addressed
from .observations import FriendRequestSeen, Layer, OwnStatusSeen, PathSeen, ProtocolSeen
from .options import DoctorOptions
from .vpn import through_vpn

PING_S = 10.0


async def ask_running(walk: Walk, options: DoctorOptions, runtime: Path, nodes: list[Addressed]) -> None:
    """Up to the protocol: what lies above is the business of its own forwards. Raises Stopped."""
    with ControlClient(runtime) as client:
        document: dict[str, Any] = client.call("status")
        path: str = document["self"]["connection"]
        udp = await way_in(walk, options, nodes, lambda: path)
        walk.add(OwnStatusSeen(path, None, tuple(document["self"]["refused_offload"])))
        peer = options.peer
        if peer is None:
            return
        state = state_of(document, peer)
        asked = state["friend_request"] is not None
        walk.add(FriendRequestSeen(peer=peer.short, online=state["online"], waited_s=None, asked=asked))
        walk.add(PathSeen(state["path"], None, udp, state["mtu"]))
        await walk.look(Layer.PROTOCOL, protocol(client, peer))
        if addresses := common(document["self"], state):
            stated = bool(state["ipv4"] or state["address_problem"])
            await walk.look(Layer.VPN, through_vpn(document["self"]["interface"], addresses, stated=stated))


def common(own: dict[str, Any], state: dict[str, Any]) -> list[str]:
    """The peer's addresses on the network, of the families that we have one of there, too."""
    families = ("ipv4", "ipv6") if own["interface"] else ()
    return [state[family] for family in families if own[family] and state[family]]


def state_of(document: dict[str, Any], peer: ConfiguredPeer) -> dict[str, Any]:
    """Its entry; of a peer that has just been removed, what is true of it."""
    key = peer.public_key.hex().upper()
    gone = dict.fromkeys(("friend_request", "mtu", "ipv4", "ipv6", "address_problem"))
    found = (each for each in document["peers"] if each["public_key"] == key)
    return next(found, {"online": False, "path": "none", **gone})


async def protocol(client: ControlClient, peer: ConfiguredPeer) -> ProtocolSeen:
    try:
        pong = client.call("ping", peer=peer.public_key.hex(), timeout_s=PING_S, answer_s=PING_S + ANSWER_S)
    except PeerOfflineError:
        return ProtocolSeen()
    return ProtocolSeen(rtt_s=pong["rtt_seconds"])
