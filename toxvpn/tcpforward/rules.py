"""The targets that the serving side may connect to: the file of `-f`, as tuntox reads it, and a little more.

One rule a line; what no rule allows is refused:

    # comment
    localhost:22              this name, to whatever it resolves (letters in any case)
    *.lab.example:443         names by pattern: `*` stands for any letters, dots too
    192.168.1.10:80           this address, also when asked for by a name that resolves to it
    192.168.1.0/24:80         a network (not in tuntox)
    [fd00::1]:80  [fd00::/8]:80
    *:80                      any host
    localhost:0               any port (`*` too)

Without a file everything is allowed; with an empty one nothing is. `target.py` asks `allows` with
the host as requested, and, when no rule is for that name, with each address it resolves to: a name
never leads around the rules for addresses, and a rule for a name allows that name alone.
"""

import ipaddress
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import ConfigError
from ..state.files import read_given
from ..wire.ports import parse_port
from .spec import host_is_sane, split_fields

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

Matches = Callable[[Address | str], bool]

ANY_PORT = 0
_MAPPED = ipaddress.IPv6Network("::ffff:0:0/96")
_EXPECTED = "expected host:port, e.g. localhost:22, 10.0.0.0/8:0 or [::1]:80"


@dataclass(frozen=True, slots=True)
class Rule:
    """`matches` takes the host as `canonical` gives it; `port` 0 is any port."""

    line: str
    matches: Matches = field(compare=False)
    port: int
    of_addresses: bool

    def is_for(self, port: int) -> bool:
        return self.port in (ANY_PORT, port)


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules in force; None means that there is no file and everything is allowed.

    What they allow has to be allowed by `within` as well.
    """

    rules: tuple[Rule, ...] | None = None
    within: "Rules | None" = None

    def allows(self, host: str, port: int) -> bool:
        """Whether a rule is for this host exactly as given, a name or an address."""
        return all(each._names(host, port) for each in self._all())

    def may_lead(self, host: str, port: int) -> bool:
        """Whether this host, once it is resolved, can have an allowed address."""
        return all(each._names(host, port) or each._has_addresses(port) for each in self._all())

    def allows_at(self, host: str, address: str, port: int) -> bool:
        """Whether it may be reached at that address of it: by a rule for its name, or for the address."""
        return all(each._names(host, port) or each._names(address, port) for each in self._all())

    def _all(self) -> "Iterator[Rules]":
        yield self
        if self.within is not None:
            yield from self.within._all()

    def _names(self, host: str, port: int) -> bool:
        if self.rules is None:
            return True
        name = canonical(host)
        return any(rule.is_for(port) and rule.matches(name) for rule in self.rules)

    def _has_addresses(self, port: int) -> bool:
        return any(rule.of_addresses and rule.is_for(port) for rule in self.rules or ())


EVERYTHING = Rules()


def load_rules(path: Path) -> Rules:
    """Raises ConfigError if the file, or a line of it, cannot be read."""
    try:
        text = read_given(path).decode()
    except OSError as error:
        raise ConfigError(f"{path}: the rules file cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: the rules file cannot be read: it is not UTF-8") from error
    return parse_rules(text, str(path))


def parse_rules(text: str, source: str) -> Rules:
    """`source` names the text in errors. Raises ConfigError with the number of the bad line."""
    rules = []
    for number, line in enumerate(text.split("\n"), 1):
        line = line.partition("#")[0].strip()
        if not line:
            continue
        try:
            rules.append(Rule(line, *_rule(line)))
        except ValueError as error:
            raise ConfigError(f"{source}:{number}: {line!r}: {error}; {_EXPECTED}") from None
    return Rules(tuple(rules))


def canonical(host: str) -> Address | str:
    """An address for its text, IPv4 for IPv4-mapped IPv6; else the name in lower case, no final dot."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host.lower().removesuffix(".")
    return getattr(address, "ipv4_mapped", None) or address


def _rule(line: str) -> tuple[Matches, int, bool]:
    """The `matches`, `port` and `of_addresses` of a Rule. Raises ValueError."""
    fields = split_fields(line)
    if len(fields) != 2:
        raise ValueError("an IPv6 address needs brackets" if len(fields) > 2 else "the port is missing")
    host, port = fields
    number = ANY_PORT if port in ("0", "*") else parse_port(port)
    if host.startswith("["):
        return _network_rule(_ipv6_network(host[1:-1]), number)
    if re.fullmatch(r"[0-9./]+", host):
        return _network_rule(ipaddress.IPv4Network(host), number)
    if not host_is_sane(host):
        raise ValueError(f"{host!r} is not a usable host name")
    if host == "*":
        return (lambda name: True), number, False
    if re.fullmatch(r"[0-9.*]+", host):
        raise ValueError("write part of the addresses as a network, e.g. 10.0.0.0/8")
    return _name_rule(host, number)


def _ipv6_network(text: str) -> ipaddress.IPv6Network:
    network = ipaddress.IPv6Network(text)
    if network.subnet_of(_MAPPED):
        raise ValueError("write it as an IPv4 address")
    return network


def _network_rule(network: Network, port: int) -> tuple[Matches, int, bool]:
    return (lambda name: not isinstance(name, str) and name in network), port, True


def _name_rule(pattern: str, port: int) -> tuple[Matches, int, bool]:
    regex = ".*".join(re.escape(part) for part in pattern.lower().removesuffix(".").split("*"))
    compiled = re.compile(regex)
    return (lambda name: isinstance(name, str) and bool(compiled.fullmatch(name))), port, False
