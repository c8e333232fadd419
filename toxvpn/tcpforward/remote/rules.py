"""Where a peer may have this machine listen for it: `allow_listen` of [server] and [peers.NAME].

    8080                    this port, on loopback
    127.0.0.1:*             any port from 1024 on, on that address; [::1]:*
    localhost:*             the same, on both addresses of loopback
    *:8080                  this port, on any address, also on all of them at once
    10.0.0.0/8:8080         on any address in that network
    tcp/8080  udp/8080      that protocol only
    unix:/run/app.sock      a Unix socket at that very path

A port below 1024 is allowed only by a rule that names it. What no rule allows is refused.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from ..._native.path.packets import Place
from ...wire.ip import TCP, UDP
from ...wire.ports import FIRST_FREE_PORT
from ...wire.remotelisten import IPAddress, ListenProtocol
from ..rules import ANY_PORT, UNIX, Rule, parse_rule

_NUMBERS = {ListenProtocol.TCP: TCP, ListenProtocol.UDP: UDP}
_EXPECTED = (
    "expected a port, or address:port, e.g. 8080, 127.0.0.1:*, *:8080, [::1]:8080, udp/5353 or unix:/run/x"
)


@dataclass(frozen=True, slots=True)
class ListenRules:
    """What a peer may have us listen on; without rules nothing."""

    rules: tuple[Rule, ...] = ()
    paths: frozenset[str] = frozenset()

    def allow_path(self, path: str) -> bool:
        return path in self.paths

    def allow(self, address: IPAddress, port: int, protocol: ListenProtocol) -> bool:
        """Port 0 is one that the kernel will choose."""
        return any(_allows(rule, address, port, protocol) for rule in self.rules)

    @property
    def names_privileged_port(self) -> bool:
        return any(0 < rule.port < FIRST_FREE_PORT for rule in self.rules)


NOTHING = ListenRules()


def parse_listen_rules(lines: Iterable[str]) -> ListenRules:
    """Raises ValueError."""
    rules = [_parse(line.strip()) for line in lines]
    paths = frozenset(rule.path for rule in rules if rule.path is not None)
    return ListenRules(tuple(rule for rule in rules if rule.path is None), paths)


def _parse(line: str) -> Rule:
    """Raises ValueError."""
    if line.startswith(UNIX):
        return parse_rule(line)
    protocol, slash, rest = line.partition("/")
    if protocol not in _NUMBERS:
        protocol, slash, rest = "", "", line
    if rest.isdecimal() or rest == "*":
        rest = f"localhost:{rest}"
    try:
        rule = parse_rule(f"{protocol}{slash}{rest}")
    except ValueError:
        raise ValueError(f"{line!r} is not a place to listen at; {_EXPECTED}") from None
    if rule.where is None or rule.protocol not in (None, TCP, UDP):
        raise ValueError(f"{line!r} names no address of this machine; {_EXPECTED}")
    return replace(rule, line=line)


def _allows(rule: Rule, address: IPAddress, port: int, protocol: ListenProtocol) -> bool:
    if rule.protocol not in (None, _NUMBERS[protocol]):
        return False
    if rule.port != port and (rule.port != ANY_PORT or 0 < port < FIRST_FREE_PORT):
        return False
    if rule.where is Place.HERE:
        return address.is_loopback
    return rule.matches(address)
