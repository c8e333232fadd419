"""UPnP: finds a router's service that maps ports, and asks it (UPnP Device Architecture 1.1, IGD 1 and 2).

Sans-IO: text for the router, and what its answers say. All of them are untrusted: the router names places to
send the next request to, and only those on the router itself are taken. Neighbour: portmap/upnp.py.
"""

import re
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address
from urllib.parse import urljoin, urlsplit
from xml.etree import ElementTree

SEARCH_PORT = 1900
SEARCH_GROUP = "239.255.255.250"
DEVICES = [f"urn:schemas-upnp-org:device:InternetGatewayDevice:{version}" for version in (1, 2)]
SERVICES = [
    "urn:schemas-upnp-org:service:WANIPConnection:2",
    "urn:schemas-upnp-org:service:WANIPConnection:1",
    "urn:schemas-upnp-org:service:WANPPPConnection:1",
]
"""Those that map ports, the best first."""
MOST_SERVICES = 4
MOST_BYTES = 1 << 16
"""Of an answer; a description has 2 to 20 kB."""
MOST_URL_CHARS = 1024
"""To join long ones takes a time that grows with their square."""
CONFLICT, ONLY_FOR_EVER = 718, 725
"""Error codes: another machine has that port; the router maps ports for ever alone."""


@dataclass(frozen=True, slots=True)
class OnRouter:
    """Where on the router a request goes. `path` begins with a slash."""

    host: str
    port: int
    path: str


@dataclass(frozen=True, slots=True)
class PortService:
    place: OnRouter
    kind: str
    """One of SERVICES."""


class FaultError(Exception):
    """`code`: UPnP's error code; 0: the answer cannot be read."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


def searches() -> list[bytes]:
    """The datagrams that ask for a router."""
    return [
        f"M-SEARCH * HTTP/1.1\r\nHOST: {SEARCH_GROUP}:{SEARCH_PORT}\r\n"
        f'MAN: "ssdp:discover"\r\nMX: 1\r\nST: {device}\r\n\r\n'.encode()
        for device in DEVICES
    ]


def found_untrusted(answer: bytes, router: str) -> OnRouter | None:
    """Where the description is, from an answer to a search; None: it names no place on that router."""
    found = re.search(rb"^location:[ \t]*(\S+)[ \t]*\r?$", answer, re.IGNORECASE | re.MULTILINE)
    if not answer.startswith(b"HTTP/1.1 200") or found is None:
        return None
    return place_on(router, found[1].decode("latin-1"))


def place_on(router: str, url: str) -> OnRouter | None:
    """The place that the URL names; None: it is not one of that router."""
    try:
        parts = urlsplit(url)
        port = parts.port or 80
    except ValueError:
        return None
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    plain = path.isascii() and path.isprintable() and " " not in path and len(path) < 512
    if parts.scheme != "http" or parts.hostname != router or not plain:
        return None
    return OnRouter(router, port, path)


def services_untrusted(description: bytes, at: OnRouter) -> list[PortService]:
    """The services on that router that map ports, the best first. Raises FaultError: it cannot be read."""
    root = _tree(description)
    base = _text(root, "URLBase") or f"http://{at.host}:{at.port}{at.path}"
    found = []
    for element in root.iter():
        if _name(element) == "service" and (kind := _text(element, "serviceType")) in SERVICES:
            place = _resolved(base, _text(element, "controlURL"), at.host)
            if place is not None:
                found.append(PortService(place, kind))
    return sorted(found, key=lambda each: SERVICES.index(each.kind))[:MOST_SERVICES]


def address_request(service: PortService) -> bytes:
    return _call(service, "GetExternalIPAddress", {})


def map_request(service: PortService, own: str, inner_port: int, outer_port: int, lifetime_s: int) -> bytes:
    """Asks that UDP to `outer_port` of the router goes to `inner_port` of our address."""
    words = {
        "NewRemoteHost": "",
        "NewExternalPort": str(outer_port),
        "NewProtocol": "UDP",
        "NewInternalPort": str(inner_port),
        "NewInternalClient": own,
        "NewEnabled": "1",
        "NewPortMappingDescription": "toxvpn",
        "NewLeaseDuration": str(lifetime_s),
    }
    return _call(service, "AddPortMapping", words)


def unmap_request(service: PortService, outer_port: int) -> bytes:
    words = {"NewRemoteHost": "", "NewExternalPort": str(outer_port), "NewProtocol": "UDP"}
    return _call(service, "DeletePortMapping", words)


def get_request(place: OnRouter) -> bytes:
    return (
        f"GET {place.path} HTTP/1.1\r\nHost: {place.host}:{place.port}\r\nConnection: close\r\n\r\n".encode()
    )


def check_untrusted(answer: bytes) -> None:
    """Raises FaultError when the body of an answer states an error."""
    root = _tree(answer)
    for element in root.iter():
        if _name(element) == "Fault":
            code = re.fullmatch(r"[0-9]{1,5}", _anywhere(element, "errorCode"))
            number = int(code[0]) if code else 0
            raise FaultError(number, f"it refuses (code {number})" if number else "it refuses")


def address_untrusted(answer: bytes) -> IPv4Address | None:
    """The outer address of the router; None: it has none. Raises FaultError."""
    check_untrusted(answer)
    try:
        address = IPv4Address(_anywhere(_tree(answer), "NewExternalIPAddress"))
    except AddressValueError:
        return None
    return None if address.is_unspecified else address


def _call(service: PortService, action: str, words: dict[str, str]) -> bytes:
    place = service.place
    inside = "".join(f"<{name}>{value}</{name}>" for name, value in words.items())
    body = (
        '<?xml version="1.0"?>\r\n<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"'
        ' s:encodingStyle="http://schemas.xmlsoap.org/soap/encoding/"><s:Body>'
        f'<u:{action} xmlns:u="{service.kind}">{inside}</u:{action}></s:Body></s:Envelope>\r\n'
    ).encode()
    head = (
        f"POST {place.path} HTTP/1.1\r\nHost: {place.host}:{place.port}\r\nConnection: close\r\n"
        f'Content-Type: text/xml; charset="utf-8"\r\nContent-Length: {len(body)}\r\n'
        f'SOAPAction: "{service.kind}#{action}"\r\n\r\n'
    )
    return head.encode() + body


def _tree(document: bytes) -> ElementTree.Element:
    """Without entities of its own, of which a few bytes can make gigabytes."""
    text = document.decode(errors="replace").removeprefix("\ufeff")  # whatever encoding it claims
    try:
        if "<!" in text.replace("<!--", ""):
            raise ValueError("it has definitions")
        return ElementTree.fromstring(text)
    except (ElementTree.ParseError, ValueError):
        raise FaultError(0, "its answer cannot be read") from None


def _name(element: ElementTree.Element) -> str:
    return str(element.tag).rpartition("}")[2]


def _text(element: ElementTree.Element, name: str) -> str:
    """The text of its child of that name."""
    return next((child.text or "" for child in element if _name(child) == name), "").strip()


def _anywhere(element: ElementTree.Element, name: str) -> str:
    return next((each.text or "" for each in element.iter() if _name(each) == name), "").strip()


def _resolved(base: str, url: str, router: str) -> OnRouter | None:
    if max(len(base), len(url)) > MOST_URL_CHARS:
        return None
    try:
        return place_on(router, urljoin(base, url))
    except ValueError:
        return None
