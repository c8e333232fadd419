"""Removes identities from a status document, or any text, for bug reports.

Keys keep 8 digits, as in logs. Tox IDs lose their nospam, addresses all but their first part, names
everything, and targets their host.
"""

import re
from ipaddress import ip_address
from typing import Any

KEPT_DIGITS = 8
IPV4 = re.compile(r"\d+(?:\.\d+){3}")
LONG_HEX = re.compile(r"(?<![0-9A-Za-z])([0-9A-Fa-f]{8})[0-9A-Fa-f]{8,}(?![0-9A-Za-z])")
"""A key, a Tox ID, or most of one."""
HARMLESS_HOSTS = ("localhost", "127.0.0.1", "::1", "0.0.0.0", "::")


def text(raw: str, home: str = "") -> str:
    """Any text, without keys and the name of the home directory."""
    if len(home) > 1:
        raw = raw.replace(home, "~")
    return LONG_HEX.sub(r"\1...", raw)


def document(value: Any, key: str = "") -> Any:
    """A status document, or the value of its `key`."""
    if isinstance(value, dict):
        return {name: document(inner, name) for name, inner in value.items()}
    if isinstance(value, list):
        return [document(inner, key) for inner in value]
    if not isinstance(value, str):
        return value
    match key:
        case "public_key" | "tox_id":
            return value[:KEPT_DIGITS] + "..."
        case "ipv4" | "ipv6":
            return address(value)
        case "address_problem":
            return IPV4.sub("x.x.x.x", value)
        case "name":
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
