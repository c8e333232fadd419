"""Asks a running toxvpn instead of making a node: it holds the identity, and the peer knows it.

In: the directory of its control socket. Out: findings from its status, and from a ping that it sends.
"""

from pathlib import Path
from typing import Any

from ..control.client import ANSWER_S, ControlClient
from ..errors import PeerOfflineError
from ..members.peers import ConfiguredPeer
from .findings import Layer
from .layers import Layers
from .network import check_network
from .nodes import ResolvedNode
from .observations import NOT_ASKED, OwnStatusSeen, PortMappingSeen
from .options import DoctorOptions
from .peer_observations import FriendRequestSeen, PathSeen, ProtocolSeen
from .vpn import check_vpn

PING_S = 10.0


async def examine_running(
    layers: Layers, options: DoctorOptions, runtime: Path, nodes: list[ResolvedNode]
) -> None:
    """Checks up to the VPN; roads and targets belong to its own forwards. Raises LayerFailed."""
    with ControlClient(runtime) as client:
        document: dict[str, Any] = client.call("status")
        path: str = document["self"]["connection"]
        udp = await check_network(layers, options, nodes, lambda: path)
        layers.add(OwnStatusSeen(path, None, tuple(document["self"]["refused_offload"])))
        layers.add(port_mapping_of(document["self"]["port_mapping"]))
        peer = options.peer
        if peer is None:
            return
        state = state_of(document, peer)
        asked = state["friend_request"] is not None
        layers.add(FriendRequestSeen(peer=peer.short, online=state["online"], waited_s=None, asked=asked))
        layers.add(PathSeen(state["path"], None, udp, state["mtu"]))
        await layers.check(Layer.PROTOCOL, check_protocol(client, peer))
        if addresses := common_addresses(document["self"], state):
            stated = bool(state["ipv4"] or state["address_problem"])
            await layers.check(Layer.VPN, check_vpn(document["self"]["interface"], addresses, stated=stated))


def port_mapping_of(stated: dict[str, Any] | None) -> PortMappingSeen:
    if stated is None:
        return PortMappingSeen(problem=NOT_ASKED)
    return PortMappingSeen(stated["endpoint"], stated["protocol"], stated["problem"])


def common_addresses(own: dict[str, Any], state: dict[str, Any]) -> list[str]:
    """The peer's addresses on the VPN, of the families in which we have one too."""
    families = ("ipv4", "ipv6") if own["interface"] else ()
    return [state[family] for family in families if own[family] and state[family]]


def state_of(document: dict[str, Any], peer: ConfiguredPeer) -> dict[str, Any]:
    """The peer's entry in the status; for a peer that has just been removed, what is true of it then."""
    key = peer.public_key.hex().upper()
    gone = dict.fromkeys(("friend_request", "mtu", "ipv4", "ipv6", "address_problem"))
    found = (each for each in document["peers"] if each["public_key"] == key)
    return next(found, {"online": False, "path": "none", **gone})


async def check_protocol(client: ControlClient, peer: ConfiguredPeer) -> ProtocolSeen:
    try:
        pong = client.call("ping", peer=peer.public_key.hex(), timeout_s=PING_S, answer_s=PING_S + ANSWER_S)
    except PeerOfflineError:
        return ProtocolSeen()
    return ProtocolSeen(rtt_s=pong["rtt_seconds"])
