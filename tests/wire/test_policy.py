"""One set of tests over both twins, and a property test of one against the other."""

from collections.abc import Callable
from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import (
    ICMPv6DestUnreach,
    ICMPv6EchoReply,
    ICMPv6EchoRequest,
    ICMPv6PacketTooBig,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
)
from scapy.packet import Packet, Raw

from toxvpn._native.path.packets import FilterRule, Place
from toxvpn.testing import native_units
from toxvpn.wire import policy
from toxvpn.wire.policy import (
    ANSWERED_S,
    ROOM,
    TCP_CLOSED_S,
    TCP_RESET_S,
    TCP_S,
    TCP_UNANSWERED_S,
    UNANSWERED_S,
)

Filter = policy.Filter | native_units.Filter
Make = Callable[..., Filter]

OURS, THEIRS, BEHIND = ("100.64.0.1", "fd74:6f78::1"), ("100.64.0.2", "fd74:6f78::2"), ("10.0.0.5", "fd00::5")
HERE = {ip_address(address) for address in OURS}
SSH = FilterRule(Place.HERE, 6, 22, 22)
DNS = FilterRule(Place.HERE, 17, 53, 53)
PING = FilterRule(Place.ANYWHERE, 1)
EVERYTHING_HERE = FilterRule(Place.HERE)

versions = pytest.mark.parametrize("version", [4, 6])


@pytest.fixture(params=[policy.Filter, native_units.Filter], ids=["pure", "compiled"])
def make(request: pytest.FixtureRequest) -> Make:
    def made(*rules: FilterRule) -> Filter:
        found: Filter = request.param(HERE, rules)
        return found

    return made


def ip(version: int, source: str, destination: str, **fields: object) -> Packet:
    return (
        IP(src=source, dst=destination, **fields)
        if version == 4
        else IPv6(src=source, dst=destination, **fields)
    )


def inward(version: int, to: tuple[str, str] = OURS) -> Packet:
    return ip(version, THEIRS[version == 6], to[version == 6])


def outward(version: int, source: tuple[str, str] = OURS) -> Packet:
    return ip(version, source[version == 6], THEIRS[version == 6])


def tcp(there: Packet, sport: int, dport: int, flags: str = "A") -> bytes:
    return bytes(there / TCP(sport=sport, dport=dport, flags=flags) / Raw(b"data"))


def udp(there: Packet, sport: int, dport: int) -> bytes:
    return bytes(there / UDP(sport=sport, dport=dport) / Raw(b"data"))


def echo(there: Packet, identifier: int, *, reply: bool = False) -> bytes:
    if there.version == 6:
        kind = ICMPv6EchoReply if reply else ICMPv6EchoRequest
        return bytes(there / kind(id=identifier) / Raw(b"data"))
    return bytes(there / ICMP(type=0 if reply else 8, id=identifier) / Raw(b"data"))


# -- what a friend begins


@versions
def test_without_a_rule_nothing_may_be_begun(make: Make, version: int) -> None:
    limited = make()
    for packet in (
        tcp(inward(version), 40000, 22, "S"),
        tcp(inward(version), 40000, 22),
        udp(inward(version), 40000, 53),
        echo(inward(version), 7),
        bytes(inward(version) / Raw(b"data")),
    ):
        assert not limited.inbound(packet, 0)


@versions
def test_a_rule_is_for_its_port_protocol_and_place(make: Make, version: int) -> None:
    limited = make(SSH, DNS)
    assert limited.inbound(tcp(inward(version), 40000, 22, "S"), 0)
    assert limited.inbound(udp(inward(version), 40000, 53), 0)
    assert not limited.inbound(udp(inward(version), 40000, 22), 0)
    assert not limited.inbound(tcp(inward(version), 40000, 53, "S"), 0)
    assert not limited.inbound(tcp(inward(version), 40000, 23, "S"), 0)
    assert not limited.inbound(tcp(inward(version, BEHIND), 40000, 22, "S"), 0)
    assert not limited.inbound(echo(inward(version), 7), 0)


@versions
def test_icmp_is_for_both_versions_and_for_nothing_else(make: Make, version: int) -> None:
    limited = make(PING)
    assert limited.inbound(echo(inward(version), 7), 0)
    assert limited.inbound(echo(inward(version, BEHIND), 7), 0)
    assert not limited.inbound(tcp(inward(version), 40000, 22, "S"), 0)


@versions
def test_everything_here_is_not_what_lies_behind(make: Make, version: int) -> None:
    limited = make(EVERYTHING_HERE)
    for packet in (
        tcp(inward(version), 1, 2, "S"),
        echo(inward(version), 7),
        bytes(inward(version) / Raw(b"x")),
    ):
        assert limited.inbound(packet, 0)
    assert not limited.inbound(tcp(inward(version, BEHIND), 1, 2, "S"), 0)


def test_a_rule_for_a_network_is_for_all_of_it(make: Make) -> None:
    limited = make(FilterRule(ip_network("10.0.0.0/29"), 6, 80, 90), FilterRule(ip_network("fd00::/125")))
    for address, passes in (("10.0.0.7", True), ("10.0.0.8", False), ("100.64.0.1", False)):
        assert limited.inbound(tcp(ip(4, THEIRS[0], address), 5, 85, "S"), 0) is passes
    assert limited.inbound(tcp(ip(4, THEIRS[0], "10.0.0.1"), 5, 90, "S"), 0)
    assert not limited.inbound(tcp(ip(4, THEIRS[0], "10.0.0.1"), 5, 91, "S"), 0)
    assert limited.inbound(udp(ip(6, THEIRS[1], "fd00::7"), 5, 1), 0)
    assert not limited.inbound(udp(ip(6, THEIRS[1], "fd00::8"), 5, 1), 0)


def test_the_first_rule_that_allows_it_is_told(make: Make) -> None:
    limited = make(DNS, SSH, EVERYTHING_HERE)
    here = ip_address(OURS[0])
    assert [limited.judge(here, 6, port) for port in (22, 80)] == [1, 2]
    assert limited.judge(here, 1) == 2
    assert limited.judge(ip_address("10.0.0.5"), 6, 22) is None


# -- answers


@versions
def test_answers_to_what_we_began_pass(make: Make, version: int) -> None:
    limited = make()
    limited.outbound(tcp(outward(version), 40000, 80, "S"), 0)
    limited.outbound(udp(outward(version), 40001, 53), 0)
    limited.outbound(echo(outward(version), 7), 0)
    limited.outbound(bytes(outward(version) / Raw(b"data")), 0)
    assert limited.inbound(tcp(inward(version), 80, 40000, "SA"), 1)
    assert limited.inbound(tcp(inward(version), 80, 40000), 1)
    assert limited.inbound(udp(inward(version), 53, 40001), 1)
    assert limited.inbound(echo(inward(version), 7, reply=True), 1)
    assert limited.inbound(bytes(inward(version) / Raw(b"data")), 1)
    # and nothing beside them
    assert not limited.inbound(tcp(inward(version), 80, 40001), 1)
    assert not limited.inbound(udp(inward(version), 54, 40001), 1)
    assert not limited.inbound(echo(inward(version), 8, reply=True), 1)
    assert not limited.inbound(echo(inward(version), 7), 1)
    assert not limited.inbound(tcp(inward(version, BEHIND), 80, 40000, "SA"), 1)


def test_what_a_host_behind_us_began_is_answered(make: Make) -> None:
    limited = make()
    limited.outbound(tcp(outward(4, BEHIND), 40000, 80, "S"), 0)
    assert limited.inbound(tcp(inward(4, BEHIND), 80, 40000, "SA"), 0)
    assert not limited.inbound(tcp(inward(4), 80, 40000, "SA"), 0)


@versions
def test_a_connection_of_ours_lets_none_be_begun_backwards(make: Make, version: int) -> None:
    limited = make()
    limited.outbound(tcp(outward(version), 40000, 80, "S"), 0)
    assert limited.inbound(tcp(inward(version), 80, 40000, "SA"), 0)
    assert not limited.inbound(tcp(inward(version), 80, 40000, "S"), 0)
    assert not limited.inbound(tcp(inward(version), 80, 40000, "SF"), 0)
    assert limited.inbound(tcp(inward(version), 80, 40000), 0)


@pytest.mark.parametrize("flags", ["A", "SA", "R", "RA", "FA", "PA"])
def test_outbound_only_a_syn_begins_a_connection(make: Make, flags: str) -> None:
    """A server's next packet must not make a connection ours that rules have just forbidden."""
    limited = make()
    limited.outbound(tcp(outward(4), 22, 40000, flags), 0)
    assert not limited.inbound(tcp(inward(4), 40000, 22), 0)


def test_a_packet_in_the_middle_passes_by_a_rule(make: Make) -> None:
    """As after a restart: what a friend may begin, it may go on with."""
    limited = make(SSH)
    assert limited.inbound(tcp(inward(4), 40000, 22), 0)
    assert not make().inbound(tcp(inward(4), 40000, 22), 0)


# -- the end of a flow


@pytest.mark.parametrize(("packet", "answer", "unanswered_s", "answered_s"), [
    (tcp(outward(4), 40000, 80, "S"), tcp(inward(4), 80, 40000, "SA"), TCP_UNANSWERED_S, TCP_S),
    (udp(outward(4), 40000, 53), udp(inward(4), 53, 40000), UNANSWERED_S, ANSWERED_S),
    (echo(outward(6), 7), echo(inward(6), 7, reply=True), UNANSWERED_S, ANSWERED_S),
], ids=["tcp", "udp", "echo"])  # fmt: skip
def test_an_idle_flow_is_forgotten(
    make: Make, packet: bytes, answer: bytes, unanswered_s: int, answered_s: int
) -> None:
    for late_s, passes in ((unanswered_s, True), (unanswered_s + 1, False)):
        limited = make()
        limited.outbound(packet, 100)
        assert limited.inbound(answer, 100 + late_s) is passes
    for late_s, passes in ((answered_s, True), (answered_s + 1, False)):
        limited = make()
        limited.outbound(packet, 100)
        assert limited.inbound(answer, 101)
        assert limited.inbound(answer, 101 + late_s) is passes


def test_a_reset_ends_a_connection(make: Make) -> None:
    for late_s, passes in ((TCP_RESET_S, True), (TCP_RESET_S + 1, False)):
        limited = make()
        limited.outbound(tcp(outward(4), 40000, 80, "S"), 0)
        assert limited.inbound(tcp(inward(4), 80, 40000, "SA"), 0)
        limited.outbound(tcp(outward(4), 40000, 80, "R"), 10)
        assert limited.inbound(tcp(inward(4), 80, 40000), 11)  # which does not make it last
        assert limited.inbound(tcp(inward(4), 80, 40000), 10 + late_s) is passes


def test_two_fins_end_a_connection_and_one_does_not(make: Make) -> None:
    for late_s, passes in ((TCP_CLOSED_S, True), (TCP_CLOSED_S + 1, False)):
        limited = make()
        limited.outbound(tcp(outward(4), 40000, 80, "S"), 0)
        assert limited.inbound(tcp(inward(4), 80, 40000, "SA"), 0)
        limited.outbound(tcp(outward(4), 40000, 80, "FA"), 0)
        assert limited.inbound(tcp(inward(4), 80, 40000), 3600)  # half-closed: the download goes on
        assert limited.inbound(tcp(inward(4), 80, 40000, "FA"), 3600)
        assert limited.inbound(tcp(inward(4), 80, 40000), 3600 + late_s) is passes


def test_a_port_that_was_closed_can_be_used_again(make: Make) -> None:
    limited = make()
    for began_s in (0, 5):
        limited.outbound(tcp(outward(4), 40000, 80, "S"), began_s)
        assert limited.inbound(tcp(inward(4), 80, 40000, "SA"), began_s)
        assert limited.inbound(tcp(inward(4), 80, 40000), began_s + 60)
        limited.outbound(tcp(outward(4), 40000, 80, "R"), began_s)


def test_a_full_table_forgets_the_oldest(make: Make) -> None:
    limited = make(FilterRule(Place.HERE, 17, 53, 53))
    limited.outbound(udp(outward(4), 1000, 7), 0)
    limited.outbound(udp(outward(4), 1001, 7), 0)
    blank = bytearray(udp(inward(4), 0, 53))
    for port in range(ROOM - 2):
        blank[20:22] = port.to_bytes(2, "big")
        assert limited.inbound(bytes(blank), 1)
    assert limited.inbound(udp(inward(4), 7, 1000), 2)  # used: it is the newest now
    assert limited.inbound(udp(inward(4), ROOM, 53), 2)
    assert not limited.inbound(udp(inward(4), 7, 1001), 2)
    assert limited.inbound(udp(inward(4), 7, 1000), 2)


# -- a change of the rules


@versions
def test_what_is_no_longer_allowed_stops(make: Make, version: int) -> None:
    limited = make(SSH, DNS)
    assert limited.inbound(tcp(inward(version), 40000, 22, "S"), 0)
    assert limited.inbound(udp(inward(version), 40000, 53), 0)
    limited.outbound(tcp(outward(version), 22, 40000, "SA"), 0)
    limited.outbound(udp(outward(version), 53, 40000), 0)
    limited.outbound(tcp(outward(version), 40001, 80, "S"), 0)
    limited.set_rules([SSH])
    assert limited.inbound(tcp(inward(version), 40000, 22), 1)
    assert not limited.inbound(udp(inward(version), 40000, 53), 1)
    limited.outbound(udp(outward(version), 53, 40000), 1)  # the server goes on: that does not make it ours
    assert not limited.inbound(udp(inward(version), 40000, 53), 1)
    limited.set_rules([])
    assert not limited.inbound(tcp(inward(version), 40000, 22), 2)
    limited.outbound(tcp(outward(version), 22, 40000), 2)
    assert not limited.inbound(tcp(inward(version), 40000, 22), 2)
    assert limited.inbound(tcp(inward(version), 80, 40001, "SA"), 2)  # ours, whatever the rules
    limited.set_rules([DNS])
    assert limited.inbound(udp(inward(version), 40000, 53), 3)


# -- ICMP errors


def unreachable(version: int, about: bytes, source: str | None = None) -> bytes:
    there = ip(version, source or THEIRS[version == 6], OURS[version == 6])
    error = ICMP(type=3, code=3) if version == 4 else ICMPv6DestUnreach(code=4)
    return bytes(there / error / Raw(about))


@versions
def test_errors_about_what_we_sent_pass(make: Make, version: int) -> None:
    limited = make()
    sent = [
        tcp(outward(version), 40000, 80, "S"), udp(outward(version), 40001, 53), echo(outward(version), 7),
    ]  # fmt: skip
    headers = 20 if version == 4 else 40
    for packet in sent:
        assert not limited.inbound(unreachable(version, packet), 0)
        limited.outbound(packet, 0)
        assert limited.inbound(unreachable(version, packet), 0)
        assert limited.inbound(unreachable(version, packet[: headers + 8]), 0)
        assert not limited.inbound(unreachable(version, packet[: headers + 7]), 0)
        assert not limited.inbound(unreachable(version, b""), 0)


def test_a_path_mtu_is_learned(make: Make) -> None:
    limited = make()
    sent = tcp(outward(6), 40000, 80, "S")
    limited.outbound(sent, 0)
    assert limited.inbound(bytes(inward(6) / ICMPv6PacketTooBig(mtu=1280) / Raw(sent)), 0)


@versions
def test_errors_about_what_others_sent_do_not_pass(make: Make, version: int) -> None:
    limited = make(SSH)
    limited.outbound(udp(outward(version), 40001, 53), 0)
    assert limited.inbound(tcp(inward(version), 40000, 22, "S"), 0)
    for about in (
        udp(outward(version), 40001, 54),
        udp(inward(version), 53, 40001),  # the other way round
        udp(ip(version, BEHIND[version == 6], THEIRS[version == 6]), 40001, 53),
    ):
        assert not limited.inbound(unreachable(version, about), 0)


def test_a_redirect_is_no_error(make: Make) -> None:
    limited = make()
    sent = udp(outward(4), 40001, 53)
    limited.outbound(sent, 0)
    assert not limited.inbound(bytes(inward(4) / ICMP(type=5, gw="10.0.0.1") / Raw(sent)), 0)


# -- fragments


def v4_fragment(offset: int, more: bool, payload: bytes, protocol: int = 6) -> bytes:
    there = IP(src=THEIRS[0], dst=OURS[0], frag=offset // 8, flags="MF" if more else 0, proto=protocol, id=9)
    return bytes(there / Raw(payload))


def v6_fragment(offset: int, more: bool, payload: bytes, protocol: int = 6) -> bytes:
    there = IPv6(src=THEIRS[1], dst=OURS[1]) / IPv6ExtHdrFragment(
        offset=offset // 8, m=int(more), nh=protocol
    )
    return bytes(there / Raw(payload))


fragments = pytest.mark.parametrize("fragment", [v4_fragment, v6_fragment], ids=["v4", "v6"])


@fragments
def test_a_first_fragment_is_judged_and_later_ones_pass(make: Make, fragment: Callable[..., bytes]) -> None:
    allowed, forbidden = (bytes(TCP(sport=1, dport=port, flags="S")) + bytes(4) for port in (22, 23))
    limited = make(SSH)
    assert limited.inbound(fragment(0, True, allowed), 0)
    assert not limited.inbound(fragment(0, True, forbidden), 0)
    assert limited.inbound(fragment(24, False, bytes(8)), 0)
    assert limited.inbound(fragment(65528, False, b"x"), 0)


@fragments
@pytest.mark.parametrize(("protocol", "shortest"), [(6, 20), (17, 8)])
def test_a_first_fragment_too_short_to_judge_is_refused(
    make: Make, fragment: Callable[..., bytes], protocol: int, shortest: int
) -> None:
    limited = make(EVERYTHING_HERE)
    for length in range(24):
        assert limited.inbound(fragment(0, True, bytes(length), protocol), 0) is (length >= shortest)


@fragments
def test_a_later_fragment_over_the_headers_is_refused(make: Make, fragment: Callable[..., bytes]) -> None:
    """It could turn a packet that was judged into another (RFC 1858 §3)."""
    limited = make(EVERYTHING_HERE)
    assert [limited.inbound(fragment(offset, True, bytes(8)), 0) for offset in (8, 16, 24)] == [
        False,
        False,
        True,
    ]


def test_a_chain_of_headers_that_hides_the_transport_is_refused(make: Make) -> None:
    chained: Packet = inward(6) / IPv6ExtHdrFragment(m=0)
    for _ in range(8):
        chained = chained / IPv6ExtHdrDestOpt()
    assert not make(EVERYTHING_HERE).inbound(bytes(chained / TCP(dport=22, flags="S")), 0)
    short = inward(6) / IPv6ExtHdrDestOpt() / TCP(dport=22, flags="S")
    assert make(SSH).inbound(bytes(short), 0)
    assert not make(DNS).inbound(bytes(short), 0)


# -- one twin against the other

PORTS = st.sampled_from([22, 53, 40000])
FLAGS = st.sampled_from(["S", "SA", "A", "FA", "R", "RA", "SF", ""])
WHERE = st.sampled_from([Place.HERE, Place.ANYWHERE, ip_network("10.0.0.0/30"), ip_network("fd00::/64")])
RULES = st.lists(
    st.builds(
        lambda where, protocol, first, many: FilterRule(where, protocol, first, min(first + many, 65535)),
        WHERE,
        st.sampled_from([None, 1, 6, 17, 47]),
        st.sampled_from([0, 22, 53]),
        st.sampled_from([0, 10, 65535]),
    ),
    max_size=3,
)  # fmt: skip


@st.composite
def packets(draw: st.DrawFn, *, inbound: bool) -> bytes:
    version = draw(st.sampled_from([4, 6]))
    own = draw(st.sampled_from([OURS, BEHIND]))
    there = inward(version, own) if inbound else outward(version, own)
    one, other = draw(PORTS), draw(PORTS)
    kind = draw(st.sampled_from(["tcp", "tcp", "udp", "echo", "gre", "error", "fragment", "icmp"]))
    if kind == "tcp":
        return tcp(there, one, other, draw(FLAGS))
    if kind == "udp":
        return udp(there, one, other)
    if kind == "echo":
        return echo(there, draw(st.sampled_from([1, 22])), reply=draw(st.booleans()))
    if kind == "error":
        about = draw(packets(inbound=draw(st.booleans())))
        code = draw(st.sampled_from([1, 2, 3, 4, 5, 11]))
        error = ICMP(type=code) if version == 4 else ICMPv6DestUnreach(type=code)
        return bytes(there / error / Raw(about[: draw(st.integers(0, 60))]))
    if kind == "fragment":
        offset, more = draw(st.sampled_from([0, 8, 16, 24])), draw(st.booleans())
        body = bytes(TCP(sport=one, dport=other, flags=draw(FLAGS)))[: draw(st.integers(0, 20))]
        make_one = v4_fragment if version == 4 else v6_fragment
        return make_one(offset, more, body, draw(st.sampled_from([6, 17])))
    protocol = 47 if kind == "gre" else draw(st.sampled_from([1, 58]))
    field = {"proto": protocol} if version == 4 else {"nh": protocol}
    there = there.copy()
    for name, value in field.items():
        setattr(there, name, value)
    return bytes(there / Raw(draw(st.binary(max_size=12))))


STEPS = st.one_of(
    st.tuples(st.just("inbound"), packets(inbound=True)),
    st.tuples(st.just("outbound"), packets(inbound=False)),
    st.tuples(st.just("rules"), RULES),
    st.tuples(st.just("wait"), st.sampled_from([1, 9, 29, 59, 119, TCP_S])),
)


@settings(max_examples=100, deadline=None)
@given(RULES, st.lists(STEPS, max_size=25))
def test_both_twins_agree(rules: list[FilterRule], steps: list[tuple[str, object]]) -> None:
    pure, compiled = policy.Filter(HERE, rules), native_units.Filter(HERE, rules)
    now_s = 1000
    for do, what in steps:
        match do, what:
            case "rules", list():
                pure.set_rules(what)
                compiled.set_rules(what)
            case "wait", int():
                now_s += what
            case "outbound", bytes():
                pure.outbound(what, now_s)
                compiled.outbound(what, now_s)
            case "inbound", bytes():
                assert pure.inbound(what, now_s) == compiled.inbound(what, now_s), what.hex()
