"""Removes identities from a status document, or any text, for bug reports.

Keys keep 8 digits, as in logs. Tox IDs lose their nospam, addresses all but their first part, names
everything, and targets their host.
"""

import re
from ipaddress import ip_address
from typing import Any

KEPT_DIGITS = 8
IPV4 = re.compile(r"\d+(?:\.\d+){3}")
IPV6 = re.compile(r"(?<![0-9A-Za-z:])[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,7}")
LONG_HEX = re.compile(r"(?<![0-9A-Za-z])([0-9A-Fa-f]{8})[0-9A-Fa-f]{8,}(?![0-9A-Za-z])")
"""A key, a Tox ID, or most of one."""
HARMLESS_HOSTS = ("localhost", "127.0.0.1", "::1", "0.0.0.0", "::", "*")


def text(raw: str, home: str = "") -> str:
    """Any text, without keys and the name of the home directory."""
    if len(home) > 1:
        raw = raw.replace(home, "~")
    return LONG_HEX.sub(r"\1...", raw)


def document(value: Any) -> Any:
    """A status document."""
    return _inside(value, "", _names(value))


def _names(value: Any) -> re.Pattern[str]:
    """The peers' names: a line for people may have them."""
    peers = value.get("peers") if isinstance(value, dict) else None
    known = [peer for peer in peers if isinstance(peer, dict)] if isinstance(peers, list) else []
    names = [peer.get("name") for peer in known]
    names += [name.partition(".")[0] for peer in known if isinstance(name := peer.get("dns_name"), str)]
    any_of = "|".join(re.escape(name) for name in names if isinstance(name, str) and name)
    return re.compile(rf"\b(?:{any_of})\b" if any_of else r"(?!)")


def _inside(value: Any, key: str, names: re.Pattern[str]) -> Any:
    """The value of a `key`."""
    if isinstance(value, dict):
        return {name: _inside(inner, name, names) for name, inner in value.items()}
    if isinstance(value, list):
        return [_inside(inner, key, names) for inner in value]
    if not isinstance(value, str):
        return value
    match key:
        case "public_key" | "tox_id" | "peer":
            return value[:KEPT_DIGITS] + "..."
        case "ipv4" | "ipv6" | "router":
            return address(value)
        case "endpoint":
            return address(value.rpartition(":")[0]) + ":" + value.rpartition(":")[2]
        case "routes" | "network":
            return address(value.partition("/")[0]) + "/" + value.partition("/")[2]
        case "allow":
            protocol = value[:4] if value[:4] in ("tcp/", "udp/") else ""
            return protocol + target(value.removeprefix(protocol))
        case "address_problem" | "problem" | "moved" | "address_moved":
            return names.sub("(a name)", IPV6.sub("x:x", IPV4.sub("x.x.x.x", value)))
        case "name" | "dns_name" | "name_problem":
            return "(a name)"
        case "listen" | "target":
            return ", ".join(target(each) for each in value.split(", "))
        case _:
            return text(value)


def address(value: str) -> str:
    """The first part of an IP address; nothing of any other text."""
    try:
        version = ip_address(value).version
    except ValueError:
        return "(an address)"
    return value.partition(".")[0] + ".x.x.x" if version == 4 else value.partition(":")[0] + ":x"


def target(value: str) -> str:
    """The port of `host:port`; the host too if it is the machine itself."""
    host, colon, port = value.rpartition(":")
    if not colon or host.strip("[]") in HARMLESS_HOSTS:
        return value
    return f"(a host):{port}"
