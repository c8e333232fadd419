"""What one friend may reach here, in pure Python: the reference that tests compare policy.c in _native with.

In: the rules for one friend, and the packets to it and from it, in order, with the time. Out: which of those
from it may pass. The rules are asked only about what belongs to no known flow: a flow begins with an outbound
packet of ours, or with an inbound one that a rule allows. They are asked about every SYN that begins a
connection, so only a rule lets the friend begin one.
"""

from collections import OrderedDict
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from struct import unpack_from
from typing import NamedTuple

from .._native.path.packets import LAST_PORT, FilterRule, Place
from .ip import TCP, UDP, UNKNOWN_PROTOCOL, Header, parse_untrusted

IPAddress = IPv4Address | IPv6Address

ICMP = 1
ICMP_OF = {4: ICMP, 6: 58}
ROOM = 4096
"""Flows at once; one more makes it forget the one that was not used for longest."""

TCP_UNANSWERED_S, TCP_S, TCP_CLOSED_S, TCP_RESET_S = 120, 5 * 86400, 60, 10
UNANSWERED_S, ANSWERED_S = 30, 120

_TCP_HEADER, _UDP_HEADER, _ICMP_HEADER = 20, 8, 8
_HEADERS_END = 24
_FIN, _SYN, _RST, _ACK = 1, 2, 4, 16
_ECHO = {4: (8, 0), 6: (128, 129)}  # request, reply
_ERRORS = {4: (3, 11, 12), 6: (1, 2, 3, 4)}
_ECHO_OURS, _ECHO_THEIRS = 1, 2


class FlowKey(NamedTuple):
    """A flow. An ICMP echo has its identifier in the place of our port, and whose request it is in theirs."""

    version: int
    protocol: int
    ours: IPAddress
    our_port: int
    theirs: IPAddress
    their_port: int


@dataclass(slots=True)
class Flow:
    by_friend: bool
    seen_s: int
    idle_s: int = 0
    outbound: bool = False
    inbound: bool = False
    outbound_fin: bool = False
    inbound_fin: bool = False
    closed: bool = False
    refused: bool = False


@dataclass(frozen=True, slots=True)
class View:
    """What a packet says of itself. `begins`: it can be the first one of its flow."""

    header: Header
    key: FlowKey | None = None
    flags: int = 0
    begins: bool = False
    port: int = 0

    @property
    def is_first_syn(self) -> bool:
        return self.flags & (_SYN | _ACK | _RST) == _SYN


class Filter:
    """`here` are this machine's own addresses in the network. Packets are well-formed (wire/ip.py)."""

    def __init__(
        self, here: Collection[IPAddress], rules: Iterable[FilterRule] = (), room: int = ROOM
    ) -> None:
        self._here = here
        self._rules = list(rules)
        self._room = room
        self._flows: OrderedDict[FlowKey, Flow] = OrderedDict()  # the one used last at the end

    def set_rules(self, rules: Iterable[FilterRule]) -> None:
        """Replaces the rules; flows that the friend has begun and may begin no longer are refused."""
        self._rules = list(rules)
        for key, flow in self._flows.items():
            port = key.our_port if key.protocol in (TCP, UDP) else 0
            flow.refused = flow.by_friend and self.judge(key.ours, key.protocol, port) is None

    def judge(self, destination: IPAddress, protocol: int, port: int = 0) -> int | None:
        """The index of the first rule that allows it."""
        for index, rule in enumerate(self._rules):
            if self._covers(rule, destination) and _is_for(rule, destination.version, protocol, port):
                return index
        return None

    def _covers(self, rule: FilterRule, destination: IPAddress) -> bool:
        if rule.where is Place.HERE:
            return destination in self._here
        return rule.where is Place.ANYWHERE or destination in rule.where

    def inbound(self, packet: bytes, now_s: int) -> bool:
        """Whether a packet from the friend may pass."""
        header = _parsed(packet)
        if header.fragment_offset:
            return header.fragment_offset >= _HEADERS_END
        view = _view(packet, header, inbound=True)
        if view is None:
            return False
        flow = self._find(view.key, now_s)
        if flow is not None and not view.is_first_syn:
            _use(flow, view, now_s, inbound=True)
            return not flow.refused
        if view.key is None and self._is_error_of_flow(packet, header, now_s):
            return True
        if self.judge(header.destination, header.protocol, view.port) is None:
            return False
        if view.begins:
            self._begin(view, now_s, inbound=True)
        return True

    def outbound(self, packet: bytes, now_s: int) -> None:
        """Notes a packet to the friend."""
        header = _parsed(packet)
        view = _view(packet, header, inbound=False)
        if header.fragment_offset or view is None:
            return
        flow = self._find(view.key, now_s)
        if flow is not None and not view.is_first_syn:
            _use(flow, view, now_s, inbound=False)
        elif view.begins:
            self._begin(view, now_s, inbound=False)

    def _find(self, key: FlowKey | None, now_s: int) -> Flow | None:
        flow = None if key is None else self._flows.get(key)
        if key is None or flow is None:
            return None
        if now_s - flow.seen_s > flow.idle_s:
            del self._flows[key]
            return None
        self._flows.move_to_end(key)
        return flow

    def _begin(self, view: View, now_s: int, *, inbound: bool) -> None:
        assert view.key is not None
        if view.key not in self._flows and len(self._flows) == self._room:
            self._flows.popitem(last=False)
        flow = self._flows[view.key] = Flow(by_friend=inbound, seen_s=now_s)
        _use(flow, view, now_s, inbound=inbound)

    def _is_error_of_flow(self, packet: bytes, header: Header, now_s: int) -> bool:
        """Whether it is an ICMP error about a packet that we have sent in a flow that goes on."""
        at = header.transport
        if header.protocol != ICMP_OF[header.version] or header.fragment:
            return False
        if packet[at] not in _ERRORS[header.version]:
            return False
        quoted = packet[at + _ICMP_HEADER :]
        sent = parse_untrusted(quoted, exact=False)
        if sent is None or sent.version != header.version or sent.fragment_offset:
            return False
        if sent.source != header.destination:
            return False
        key = _quoted_key(quoted, sent)
        flow = self._find(key, now_s)
        return flow is not None and not flow.refused


def _parsed(packet: bytes) -> Header:
    header = parse_untrusted(packet)
    assert header is not None
    return header


def _is_for(rule: FilterRule, version: int, protocol: int, port: int) -> bool:
    if rule.protocol == ICMP:
        return protocol == ICMP_OF[version]
    if rule.protocol not in (None, protocol):
        return False
    if (rule.first_port, rule.last_port) == (0, LAST_PORT):
        return True
    return protocol in (TCP, UDP) and rule.first_port <= port <= rule.last_port


def _view(packet: bytes, header: Header, *, inbound: bool) -> View | None:
    """None if its headers are too short to be judged."""
    at, room = header.transport, len(packet) - header.transport
    if header.protocol == TCP:
        if room < _TCP_HEADER:
            return None
        flags = packet[at + 13]
        only_syn = flags & (_SYN | _ACK | _RST) == _SYN
        # outbound only a SYN begins one: the next packet of what a friend began must not pass for ours
        begins = not flags & _RST if inbound else only_syn
        key, port = _with_ports(packet, header, inbound=inbound)
        return View(header, key, flags, begins, port)
    if header.protocol == UDP:
        if room < _UDP_HEADER:
            return None
        key, port = _with_ports(packet, header, inbound=inbound)
        return View(header, key, begins=True, port=port)
    if header.protocol == ICMP_OF[header.version]:
        if room < _ICMP_HEADER:
            return None
        request = packet[at] == _ECHO[header.version][0]
        return View(header, _echo_key(packet, header, inbound=inbound), begins=request)
    if header.protocol == UNKNOWN_PROTOCOL:
        return None
    return View(header, _key(header, 0, 0, inbound=inbound), begins=True)


def _key(header: Header, our_port: int, their_port: int, *, inbound: bool) -> FlowKey:
    ours, theirs = header.source, header.destination
    if inbound:
        ours, theirs = theirs, ours
    return FlowKey(header.version, header.protocol, ours, our_port, theirs, their_port)


def _with_ports(packet: bytes, header: Header, *, inbound: bool) -> tuple[FlowKey, int]:
    source, destination = unpack_from("!HH", packet, header.transport)
    ours, theirs = (destination, source) if inbound else (source, destination)
    return _key(header, ours, theirs, inbound=inbound), destination


def _echo_key(packet: bytes, header: Header, *, inbound: bool) -> FlowKey | None:
    request, reply = _ECHO[header.version]
    kind, identifier = packet[header.transport], unpack_from("!H", packet, header.transport + 4)[0]
    if kind not in (request, reply):
        return None
    whose = _ECHO_THEIRS if (kind == request) == inbound else _ECHO_OURS
    return _key(header, identifier, whose, inbound=inbound)


def _quoted_key(quoted: bytes, sent: Header) -> FlowKey | None:
    """The flow of a packet of ours of which an error quotes at least 8 bytes of the transport header."""
    if len(quoted) - sent.transport < 8:
        return None
    if sent.protocol in (TCP, UDP):
        return _with_ports(quoted, sent, inbound=False)[0]
    return _echo_key(quoted, sent, inbound=False) if sent.protocol == ICMP_OF[sent.version] else None


def _use(flow: Flow, view: View, now_s: int, *, inbound: bool) -> None:
    """A closed flow is not used any longer than its time, whatever comes."""
    if flow.closed:
        return
    flow.seen_s = now_s
    fin = bool(view.flags & _FIN)
    if inbound:
        flow.inbound, flow.inbound_fin = True, flow.inbound_fin or fin
    else:
        flow.outbound, flow.outbound_fin = True, flow.outbound_fin or fin
    answered = flow.inbound and flow.outbound
    if view.header.protocol == TCP:
        flow.idle_s = TCP_S if answered else TCP_UNANSWERED_S
    else:
        flow.idle_s = ANSWERED_S if answered else UNANSWERED_S
    if view.flags & _RST:
        flow.closed, flow.idle_s = True, TCP_RESET_S
    elif flow.inbound_fin and flow.outbound_fin:
        flow.closed, flow.idle_s = True, TCP_CLOSED_S
