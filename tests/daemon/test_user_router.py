"""Whether the router of a user's network is made, and what is said when it cannot be."""

from ipaddress import ip_network
from types import SimpleNamespace
from typing import Any, cast

import pytest

from toxvpn._native.path.packets import FilterRule, Place
from toxvpn._native.results import Connection
from toxvpn.daemon.user_router import RouterOfUser
from toxvpn.errors import ToxvpnError
from toxvpn.tox.events import PeerConnection
from toxvpn.tox.node import Node
from toxvpn.tox.peer import Peer
from toxvpn.tun.filters import Reach
from toxvpn.tun.vpn import Vpn

NO_LIBRARY = (
    "this takes nftables, and there is no libnftables.so.1 here: install it with 'apt install nftables'"
)
LAPTOP = Peer(0, b"l" * 32, Connection.UDP)
SSH: Reach = {FilterRule(Place.HERE, 6, 22, 22): "localhost:22"}


class Namespace:
    """One that lacks the library; `asked` counts the tries."""

    asked = 0

    def write_sysctl(self, key: str, value: str) -> None:
        pass

    def nft(self, script: str, what: str) -> str:
        self.asked += 1
        raise ToxvpnError(NO_LIBRARY)


class FakeNode(list[Peer]):
    def subscribe(self, subscriber: Any) -> None:
        self.subscriber = subscriber

    def unsubscribe(self, subscriber: Any) -> None:
        assert subscriber == self.subscriber


def router(advertised: tuple[str, ...], stated: Reach | None) -> tuple[RouterOfUser, FakeNode, Namespace]:
    namespace, node = Namespace(), FakeNode()
    vpn = SimpleNamespace(
        subnets=SimpleNamespace(advertised=tuple(map(ip_network, advertised))),
        namespace=namespace,
        device=SimpleNamespace(name="toxvpn0"),
        peer_at=lambda address: None,
    )
    made = RouterOfUser(cast(Node, node), cast(Vpn, vpn), lambda public_key: stated)
    return made, node, namespace


async def test_what_is_advertised_must_be_carried() -> None:
    with pytest.raises(ToxvpnError) as failure:
        router(("10.0.0.0/24",), None)
    assert str(failure.value) == f"no network can be advertised without root here: {NO_LIBRARY}"


async def test_without_an_allow_there_is_no_router() -> None:
    made, node, namespace = router((), None)
    node.append(LAPTOP)
    node.subscriber(PeerConnection(LAPTOP, Connection.NONE))
    made.update()
    await made.close()
    assert namespace.asked == 0


async def test_an_allow_that_cannot_be_served_does_not_end_the_run(caplog: pytest.LogCaptureFixture) -> None:
    made, node, namespace = router((), SSH)
    node.append(LAPTOP)
    node.subscriber(PeerConnection(LAPTOP, Connection.NONE))
    await made.close()
    assert namespace.asked == 1
    assert [record.message for record in caplog.records] == [
        f"peers cannot reach what their `allow` names on this machine: {NO_LIBRARY}"
    ]
