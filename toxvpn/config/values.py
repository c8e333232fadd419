"""Readers of single values: each takes the value in the file and returns the one that the run uses.

Each raises ValueError, without a message where the key's form (keys.py) says enough; or the UsageError or
ConfigError of the function that parses the value. That function is loaded when there is something to parse:
this table is a part of every command's start.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..wire.ports import LAST_PORT, parse_port_range

if TYPE_CHECKING:
    from ipaddress import IPv4Interface

    from ..tcpforward.remote.rules import ListenRules
    from ..tcpforward.remote.spec import RemoteListen
    from ..tcpforward.rules import Rules
    from ..tcpforward.spec import AnyListen, Target
    from ..tox.proxy import Proxy
    from ..wire.routegrant import RouteGrant
    from ..wire.routes import IPNetwork

UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86400}
FILE_FORM = "a file name"
BOOL_FORM = "true or false"
RULES_FORM = 'a list such as ["localhost:22", "10.0.0.0/8:*"]'
LISTEN_RULES_FORM = 'a list such as ["8080", "127.0.0.1:*", "*:443"]'
NETWORKS_FORM = 'a list of networks such as ["192.168.10.0/24", "fd00:10::/64"]'
ADVERTISED_CHARACTERS = 400
"""Of all that is advertised, with commas: they go into the status message with everything else."""
INTERFACE_BYTES = 15  # linux/if.h IFNAMSIZ, less the NUL


def read_text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError
    return value


def read_file(value: Any) -> Path:
    return Path(read_text(value))


def read_bool(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError
    return value


def read_switch(value: Any) -> bool | None:
    """Returns True for "on", False for "off", None for "auto"."""
    switches = {"auto": None, "on": True, "off": False}
    if not isinstance(value, str) or value not in switches:
        raise ValueError
    return switches[value]


def read_number(least: int, most: int) -> Callable[[Any], int]:
    def read(value: Any) -> int:
        if type(value) is not int:
            raise ValueError
        if not least <= value <= most:
            raise ValueError(f"{value} is out of range: {least} to {most}")
        return value

    return read


read_port_or_0 = read_number(0, LAST_PORT)


def parse_time(text: str) -> int:
    """Seconds in `90s`, `30m`, `24h`, `7d`. Raises ValueError."""
    number, unit = text[:-1], text[-1:]
    if not (number.isascii() and number.isdigit() and len(number) < 10 and unit in UNITS_S):
        raise ValueError
    return int(number) * UNITS_S[unit]


def read_time(least_s: int, most_s: int) -> Callable[[Any], int]:
    def read(value: Any) -> int:
        seconds = parse_time(read_text(value))
        if not least_s <= seconds <= most_s:
            raise ValueError
        return seconds

    return read


def read_udp_ports(value: Any) -> tuple[int, int]:
    text = read_text(value)
    try:
        return parse_port_range(text)
    except ValueError:
        raise ValueError from None


def read_proxy(value: Any) -> "Proxy":
    from ..tox.proxy import parse_proxy

    return parse_proxy(read_text(value))


def read_name(value: Any) -> str:
    from ..members.peers import check_name

    text = read_text(value)
    check_name(text)
    return text


def read_own_name(value: Any) -> str:
    """Empty for none."""
    return "" if value == "" else read_name(value)


def read_address(value: Any) -> "IPv4Interface":
    """An IPv4 address of a host, with its prefix length."""
    from ipaddress import IPv4Interface

    from ..wire.addressing import is_host_address

    try:
        address = IPv4Interface(read_text(value))
    except ValueError:
        raise ValueError from None
    if not is_host_address(address.ip):
        raise ValueError(f"{value} cannot be a host's address; give one such as 10.9.8.7/24")
    return address


def read_interface(value: Any) -> str:
    name = read_text(value)
    usable = len(name.encode()) <= INTERFACE_BYTES and name not in (".", "..")
    if not usable or any(letter in "/:%" or letter.isspace() or not letter.isprintable() for letter in name):
        raise ValueError
    return name


def read_list(value: Any) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise ValueError
    return value


def read_names(value: Any) -> tuple[str, ...]:
    return tuple(dict.fromkeys(read_list(value)))


def read_advertised(value: Any) -> "tuple[IPNetwork, ...]":
    """The networks behind this machine."""
    from ..wire.routegrant import parse_networks, unusable

    networks = parse_networks(read_list(value))
    for network in networks:
        if (reason := unusable(network)) is not None:
            raise ValueError(f"{network} cannot be advertised: {reason}")
    if len(",".join(map(str, networks))) > ADVERTISED_CHARACTERS:
        raise ValueError(f"at most {ADVERTISED_CHARACTERS} characters of networks fit: give larger networks")
    return networks


def read_route_grant(value: Any) -> "RouteGrant":
    from ..wire.routegrant import parse_grant

    return parse_grant([value] if isinstance(value, str) else read_list(value))


def read_groups(value: Any) -> tuple[str, ...]:
    from ..wire.multicast import parse_groups

    return parse_groups(read_list(value))


def read_keys(value: Any) -> frozenset[bytes]:
    from ..wire.toxid import parse_public_key_or_id

    return frozenset(parse_public_key_or_id(each) for each in read_list(value))


def read_rules(value: Any) -> "Rules":
    from ..tcpforward.rules import parse_rules

    return parse_rules("\n".join(read_list(value)), "rule")


def read_listen_rules(value: Any) -> "ListenRules":
    from ..tcpforward.remote.rules import parse_listen_rules

    return parse_listen_rules(read_list(value))


def read_remote_listen(value: Any) -> "RemoteListen":
    from ..tcpforward.remote.spec import parse_remote_listen

    return parse_remote_listen(str(value) if type(value) is int else read_text(value))


def read_listen(value: Any) -> "AnyListen":
    from ..tcpforward.spec import parse_listen

    return parse_listen(str(value) if type(value) is int else read_text(value))


def read_forward_listen(value: Any) -> "AnyListen":
    from ..tcpforward.spec import parse_forward_listen

    return parse_forward_listen(str(value) if type(value) is int else read_text(value))


def read_socket_mode(value: Any) -> int:
    """The mode of a socket's file, of which its owner may do what others may."""
    text = read_text(value)
    if not re.fullmatch("0?[0-7]{3}", text):
        raise ValueError
    mode = int(text, 8)
    if mode & 0o600 != 0o600:
        raise ValueError(f"{text} keeps its owner from using it: give one such as 0660")
    return mode


def read_target(value: Any) -> "Target":
    from ..tcpforward.spec import parse_target

    return parse_target(read_text(value))


def words(text: str) -> list[str]:
    """The list that the file would have where `A,B` was typed."""
    return [word.strip() for word in text.split(",") if word.strip()]


def yes_or_no(text: str) -> bool:
    """Raises ValueError."""
    try:
        return {"yes": True, "no": False}[text]
    except KeyError:
        raise ValueError("it takes yes or no") from None


def number(text: str) -> int:
    """The number that the file would have where `text` was typed. Raises ValueError."""
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise ValueError
    return int(text)
