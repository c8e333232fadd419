"""What a router answers when it is asked for a port, by PCP, NAT-PMP and UPnP. It may be anybody's."""

import contextlib
from ipaddress import IPv4Address, ip_address

from toxvpn.portmap.upnp import body_untrusted
from toxvpn.wire.router import igd, natpmp
from toxvpn.wire.router.igd import FaultError, OnRouter
from toxvpn.wire.router.pcp import PcpMapped, PcpRefusal, PcpRequest

from ..target import Choices, target

ROUTER = "192.168.1.1"
REQUEST = PcpRequest(b"twelve bytes", ip_address("192.168.1.2"), 33445)  # type: ignore[arg-type]


@target
def port_mapped(data: bytes) -> None:
    """An answer of PCP or NAT-PMP: a mapping to our port, a refusal with a reason, or none of ours."""
    for found in (REQUEST.answer_untrusted(data), natpmp.mapped_untrusted(data, 33445)):
        if isinstance(found, PcpRefusal | natpmp.PmpRefusal):
            assert found.code
            assert found.reason
        elif found is not None:
            assert 0 <= found.port < 65536
            assert 0 <= found.lifetime_s < 2**32
            assert not isinstance(found, PcpMapped) or REQUEST.nonce in data
    outer = natpmp.address_untrusted(data)
    assert outer is None or isinstance(outer, IPv4Address | natpmp.PmpRefusal)


@target
def upnp(data: bytes) -> None:
    """Answers of UPnP: what is asked next is asked of that router, in one request without surprises."""
    choices = Choices(data)
    at = OnRouter(ROUTER, 80, "/desc.xml")
    kind = choices.below(3)
    text = choices.rest()
    if kind == 0:
        place = igd.found_untrusted(text, ROUTER)
        if place is not None:
            check(igd.get_request(place), place)
    elif kind == 1:
        with contextlib.suppress(FaultError):
            for service in igd.services_untrusted(text, at):
                for request in (
                    igd.address_request(service),
                    igd.map_request(service, "192.168.1.2", 33445, 33445, 600),
                    igd.unmap_request(service, 33445),
                ):
                    check(request, service.place)
        with contextlib.suppress(FaultError):
            igd.address_untrusted(text)
    else:
        body_untrusted(text)


def check(request: bytes, place: OnRouter) -> None:
    assert place.host == ROUTER
    assert 0 < place.port < 65536
    first, _, rest = request.partition(b"\r\n")
    assert len(first.split(b" ")) == 3
    assert rest.startswith(f"Host: {ROUTER}:{place.port}\r\n".encode())
