"""What a peer may reach: the targets of forwards, and what it may begin over the VPN.

The file of `-f`, as tuntox reads it, and a little more. One rule a line; what no rule allows is refused:

    # comment
    localhost:22              this name, to whatever it resolves (letters in any case)
    *.lab.example:443         names by pattern: `*` stands for any letters, dots too
    192.168.1.10:80           this address, also when asked for by a name that resolves to it
    192.168.1.0/24:80         a network (not in tuntox)
    [fd00::1]:80  [fd00::/8]:80
    *:80                      any host
    localhost:0               any port (`*` too)
    tcp/localhost:22          that protocol only
    udp/*:53
    icmp  icmp/10.0.0.0/8     over the VPN alone: ping, to any host or to those
    unix:/run/docker.sock     the Unix socket of that very path

A rule without a protocol is for TCP and UDP, and over the VPN with any port for every protocol. There
`localhost` is this machine's own addresses. A rule for another name holds for forwards alone: packets have no
names.

Without a file everything is allowed but Unix sockets, which only a rule that names one opens: who connects
to one is taken for the user of this process. With an empty file nothing is allowed. `target.py` asks `allows`
with the host as requested, and, when no rule is for that name, with each address it resolves to: a name never
leads around the rules for addresses, and a rule for a name allows that name alone.
"""

import ipaddress
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .._native.path.packets import FilterRule, Place
from ..errors import ConfigError
from ..state.files import read_given
from ..wire.ip import TCP, UDP
from ..wire.policy import ICMP
from ..wire.ports import parse_port
from .spec import host_is_sane, split_fields
from .unix.paths import check_path

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

Matches = Callable[[Address | str], bool]

ANY_PORT = 0
_MAPPED = ipaddress.IPv6Network("::ffff:0:0/96")
UNIX = "unix:"
_PROTOCOLS = {"tcp": TCP, "udp": UDP, "icmp": ICMP}
_EXPECTED = "expected host:port, e.g. localhost:22, 10.0.0.0/8:0, [::1]:80, udp/*:53, icmp or unix:/run/x"


@dataclass(frozen=True, slots=True)
class Rule:
    """`matches` takes the host as `canonical` gives it; `port` 0 is any port, `protocol` None any protocol.

    `where` is what the host means over the VPN; None: nothing. A rule with a `path` is for that Unix socket.
    """

    line: str
    matches: Matches = field(compare=False)
    where: Network | Place | None
    port: int
    protocol: int | None = None
    path: str | None = None

    def is_for(self, port: int, protocol: int) -> bool:
        """Whether it is for forwards to that port: of TCP, or of UDP."""
        return self.protocol in (None, protocol) and self.port in (ANY_PORT, port)

    @property
    def of_addresses(self) -> bool:
        return not isinstance(self.where, Place | None)

    @property
    def on_network(self) -> FilterRule | None:
        """What it allows over the VPN."""
        if self.where is None:
            return None
        ports = () if self.port == ANY_PORT else (self.port, self.port)
        return FilterRule(self.where, self.protocol, *ports)


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules in force; None means that there is no file and everything is allowed.

    What they allow has to be allowed by `within` as well.
    """

    rules: tuple[Rule, ...] | None = None
    within: "Rules | None" = None

    def allows(self, host: str, port: int, protocol: int = TCP) -> bool:
        """Whether a rule is for this host exactly as given, a name or an address."""
        return all(each._names(host, port, protocol) for each in self._all())

    def may_lead(self, host: str, port: int, protocol: int = TCP) -> bool:
        """Whether this host, once it is resolved, can have an allowed address."""
        return all(
            each._names(host, port, protocol) or each._has_addresses(port, protocol) for each in self._all()
        )

    def allows_at(self, host: str, address: str, port: int, protocol: int = TCP) -> bool:
        """Whether it may be reached at that address of it: by a rule for its name, or for the address."""
        return all(
            each._names(host, port, protocol) or each._names(address, port, protocol) for each in self._all()
        )

    def allows_path(self, path: str) -> bool:
        """Whether that Unix socket may be reached: a rule has to name it."""
        stated = [each.rules for each in self._all() if each.rules is not None]
        return bool(stated) and all(any(rule.path == path for rule in rules) for rules in stated)

    def on_network(self) -> dict[FilterRule, str]:
        """What they allow over the VPN, in their order, and the line of each."""
        if self.rules is None:
            return {FilterRule(Place.ANYWHERE): "everything"}
        found: dict[FilterRule, str] = {}
        for rule in self.rules:
            if rule.on_network is not None:
                found.setdefault(rule.on_network, rule.line)
        return found

    def _all(self) -> "Iterator[Rules]":
        yield self
        if self.within is not None:
            yield from self.within._all()

    def _names(self, host: str, port: int, protocol: int) -> bool:
        if self.rules is None:
            return True
        name = canonical(host)
        return any(rule.is_for(port, protocol) and rule.matches(name) for rule in self.rules)

    def _has_addresses(self, port: int, protocol: int) -> bool:
        return any(rule.of_addresses and rule.is_for(port, protocol) for rule in self.rules or ())


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
            rules.append(parse_rule(line))
        except ValueError as error:
            raise ConfigError(f"{source}:{number}: {error}") from None
    return Rules(tuple(rules))


def parse_rule(line: str) -> Rule:
    """Raises ValueError."""
    try:
        if line.startswith(UNIX):
            return _unix_rule(line)
        return Rule(line, *_rule(line))
    except ValueError as error:
        raise ValueError(f"{line!r}: {error}; {_EXPECTED}") from None


def _unix_rule(line: str) -> Rule:
    """Raises ValueError."""
    path = check_path(line.removeprefix(UNIX))
    if "*" in path:
        raise ValueError("a Unix socket is named whole: each rule opens one")
    return Rule(line, lambda host: False, None, ANY_PORT, path=path)


def canonical(host: str) -> Address | str:
    """An address for its text, IPv4 for IPv4-mapped IPv6; else the name in lower case, no final dot."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host.lower().removesuffix(".")
    return getattr(address, "ipv4_mapped", None) or address


def _rule(line: str) -> tuple[Matches, Network | Place | None, int, int | None]:
    """The fields of a Rule, without its line. Raises ValueError."""
    word, slash, rest = line.partition("/")
    protocol = _PROTOCOLS.get(word.lower())
    fields = split_fields(rest if slash and protocol else line)
    if protocol == ICMP:
        if len(fields) != 1:
            raise ValueError("icmp has no ports")
        return *_host(fields[0] if slash else "*"), ANY_PORT, protocol
    if len(fields) != 2:
        raise ValueError(_what_is_missing(fields, word if slash and protocol else None))
    host, port = fields
    if host.lower() in _PROTOCOLS:
        raise ValueError(f"after a protocol stands '/' and the host: write {host}/localhost:{port}")
    return *_host(host), ANY_PORT if port in ("0", "*") else parse_port(port), protocol


def _what_is_missing(fields: Sequence[str], protocol: str | None) -> str:
    """In a rule that has not just a host and a port."""
    if len(fields) > 2:
        return "an IPv6 address needs brackets"
    if fields[0].isdecimal():  # as in `toxvpn policy`, where the host is this one
        return f"the host is missing: write {f'{protocol}/' if protocol else ''}localhost:{fields[0]}"
    return "the port is missing"


def _host(host: str) -> tuple[Matches, Network | Place | None]:
    """What a host of a rule matches among forwards' targets, and means over the VPN. Raises ValueError."""
    if host.startswith("["):
        return _network_rule(_ipv6_network(host[1:-1]))
    if re.fullmatch(r"[0-9./]+", host):
        return _network_rule(ipaddress.IPv4Network(host))
    if not host_is_sane(host) or "/" in host:
        raise ValueError(f"{host!r} is not a usable host name")
    if host == "*":
        return (lambda name: True), Place.ANYWHERE
    if re.fullmatch(r"[0-9.*]+", host):
        raise ValueError("write part of the addresses as a network, e.g. 10.0.0.0/8")
    return _name_rule(host), Place.HERE if canonical(host) == "localhost" else None


def _ipv6_network(text: str) -> ipaddress.IPv6Network:
    network = ipaddress.IPv6Network(text)
    if network.subnet_of(_MAPPED):
        raise ValueError("write it as an IPv4 address")
    return network


def _network_rule(network: Network) -> tuple[Matches, Network]:
    return (lambda name: not isinstance(name, str) and name in network), network


def _name_rule(pattern: str) -> Matches:
    regex = ".*".join(re.escape(part) for part in pattern.lower().removesuffix(".").split("*"))
    compiled = re.compile(regex)
    return lambda name: isinstance(name, str) and bool(compiled.fullmatch(name))
