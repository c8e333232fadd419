"""What a UPnP router is asked, and what its answers may lead to."""

from ipaddress import IPv4Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toxvpn.wire.router import igd
from toxvpn.wire.router.igd import SERVICES, FaultError, OnRouter, PortService

ROUTER = "192.168.1.1"
AT = OnRouter(ROUTER, 5000, "/root/desc.xml")
SERVICE = PortService(OnRouter(ROUTER, 5000, "/ctl"), SERVICES[1])


def search_answer(location: str) -> bytes:
    return f"HTTP/1.1 200 OK\r\nCACHE-CONTROL: max-age=120\r\nLocation: {location}\r\n\r\n".encode()


def description(control: str, *, kind: str = SERVICES[1], base: str = "") -> bytes:
    return f"""<?xml version="1.0"?><root xmlns="urn:schemas-upnp-org:device-1-0">{base}<device><deviceList>
        <device><serviceList><service><serviceType>urn:x:other:1</serviceType><controlURL>/no</controlURL>
        </service><service><serviceType>{kind}</serviceType><controlURL>{control}</controlURL></service>
        </serviceList></device></deviceList></device></root>""".encode()


def fault(code: str) -> bytes:
    return (
        '<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body><s:Fault><detail>'
        f'<UPnPError xmlns="urn:schemas-upnp-org:control-1-0"><errorCode>{code}</errorCode></UPnPError>'
        "</detail></s:Fault></s:Body></s:Envelope>"
    ).encode()


def test_a_search_names_the_device() -> None:
    first, second = igd.searches()
    assert b"ST: urn:schemas-upnp-org:device:InternetGatewayDevice:1\r\n" in first and first != second
    assert first.startswith(b"M-SEARCH * HTTP/1.1\r\n") and first.endswith(b"\r\n\r\n")


def test_the_description_is_where_the_answer_says() -> None:
    assert igd.found_untrusted(search_answer("http://192.168.1.1:5000/root/desc.xml"), ROUTER) == AT
    assert igd.found_untrusted(search_answer("http://192.168.1.1"), ROUTER) == OnRouter(ROUTER, 80, "/")


@pytest.mark.parametrize(
    "url",
    [
        "http://192.168.1.2:5000/desc.xml",
        "http://127.0.0.1/desc.xml",
        "http://192.168.1.1@evil.example/",
        "https://192.168.1.1/",
        "file:///etc/passwd",
        "http://192.168.1.1:99999/",
        "http://[::1/",
        "http://192.168.1.1/a\x7fb",
        "http://192.168.1.1/" + "a" * 600,
    ],
)
def test_a_place_that_is_not_on_the_router(url: str) -> None:
    assert igd.found_untrusted(search_answer(url), ROUTER) is None
    assert igd.services_untrusted(description(url.replace("\x7f", "é")), AT) == []


def test_no_answer_to_a_search() -> None:
    assert igd.found_untrusted(b"NOTIFY * HTTP/1.1\r\nLocation: http://192.168.1.1/\r\n\r\n", ROUTER) is None
    assert igd.found_untrusted(b"HTTP/1.1 200 OK\r\n\r\n", ROUTER) is None


@pytest.mark.parametrize(
    ("control", "base"),
    [
        ("/ctl", ""),
        ("../ctl", ""),
        ("http://192.168.1.1:5000/ctl", ""),
        ("ctl", "<URLBase>http://192.168.1.1:5000/</URLBase>"),
    ],
)
def test_the_service_that_maps_ports(control: str, base: str) -> None:
    assert igd.services_untrusted(description(control, base=base), AT) == [SERVICE]


def test_a_base_elsewhere_leads_nowhere() -> None:
    base = "<URLBase>http://192.168.1.7/</URLBase>"
    assert igd.services_untrusted(description("ctl", base=base), AT) == []


def test_long_urls_are_not_joined() -> None:
    """A router could keep us busy for a minute with those that fit into a description."""
    there_and_back = "a/../" * 300
    base = f"<URLBase>http://{ROUTER}:5000/{there_and_back}</URLBase>"
    assert igd.services_untrusted(description("ctl", base=base), AT) == []
    assert igd.services_untrusted(description(f"/{there_and_back}ctl"), AT) == []


def test_other_services_are_of_no_use() -> None:
    assert igd.services_untrusted(description("/ctl", kind="urn:x"), AT) == []


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_a_document_with_definitions_is_not_read(encoding: str) -> None:
    bomb = '<?xml version="1.0"?><!DOCTYPE r [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]><r>&b;</r>'
    with pytest.raises(FaultError):
        igd.services_untrusted(bomb.encode(encoding), AT)


def test_a_request() -> None:
    request = igd.map_request(SERVICE, "192.168.1.2", 33445, 40000, 600)
    head, body = request.split(b"\r\n\r\n", 1)
    assert head.startswith(b"POST /ctl HTTP/1.1\r\nHost: 192.168.1.1:5000\r\n")
    assert f'SOAPAction: "{SERVICE.kind}#AddPortMapping"'.encode() in head
    assert b"Content-Length: %d" % len(body) in head
    for words in (
        b"<NewExternalPort>40000<", b"<NewInternalPort>33445<", b"<NewInternalClient>192.168.1.2<",
        b"<NewProtocol>UDP<", b"<NewLeaseDuration>600<",
    ):  # fmt: skip
        assert words in body
    assert b"#DeletePortMapping" in igd.unmap_request(SERVICE, 40000)


def test_the_address_of_the_router() -> None:
    body = b"<a><b><NewExternalIPAddress>203.0.113.5</NewExternalIPAddress></b></a>"
    assert igd.address_untrusted(body) == IPv4Address("203.0.113.5")
    assert igd.address_untrusted(body.replace(b"203.0.113.5", b"0.0.0.0")) is None
    assert igd.address_untrusted(body.replace(b"203.0.113.5", b"")) is None


@pytest.mark.parametrize(("code", "number"), [("718", 718), ("725", 725), ("many", 0), ("9" * 40, 0)])
def test_a_refusal_has_a_code(code: str, number: int) -> None:
    with pytest.raises(FaultError) as caught:
        igd.check_untrusted(fault(code))
    assert caught.value.code == number


@given(st.binary(max_size=200), st.sampled_from([b"", b"<a>", b'<?xml version="1.0" encoding="utf-7"?>']))
def test_any_bytes(content: bytes, start: bytes) -> None:
    igd.found_untrusted(b"HTTP/1.1 200 OK\r\nLOCATION: " + content, ROUTER)
    for read in (igd.check_untrusted, igd.address_untrusted, lambda body: igd.services_untrusted(body, AT)):
        try:
            read(start + content)
        except FaultError:
            continue


@given(st.text(max_size=60))
def test_any_place(url: str) -> None:
    place = igd.place_on(ROUTER, url)
    assert place is None or place.host == ROUTER
