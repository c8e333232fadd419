"""DNS messages: what is asked, by the rules of DNS, and any bytes at all."""

from ipaddress import IPv4Address, IPv6Address

import dns.flags
import dns.message
import dns.opcode
import dns.rcode
import dns.rdatatype
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.dns import DNS, DNSQR

from toxvpn.names.answer import EDNS_BYTES, MalformedQueryError, answer
from toxvpn.names.zone import Zone, ZoneMember

FOUR, SIX = IPv4Address("100.64.1.2"), IPv6Address("fd74:6f78::2")
REVERSE = (FOUR.reverse_pointer, SIX.reverse_pointer)
ZONE = Zone.of(
    [
        ZoneMember(b"1", "box", "", (SIX, FOUR)),
        ZoneMember(b"2", "four-only", "", (IPv4Address("100.64.1.3"),)),
        ZoneMember(b"3", "away", "", ()),
    ]
)


def ask(name: str, kind: str = "A", **more: object) -> dns.message.Message:
    query = dns.message.make_query(name, kind, **more)  # type: ignore[arg-type]
    response = dns.message.from_wire(answer(query.to_wire(), ZONE))
    assert query.is_response(response)
    return response


def texts(response: dns.message.Message) -> list[str]:
    return [record.to_text() for rrset in response.answer for record in rrset]


@pytest.mark.parametrize(
    ("name", "kind", "text"),
    [
        ("box.tox.internal", "A", "100.64.1.2"),
        ("box.tox.internal", "AAAA", "fd74:6f78::2"),
        (REVERSE[0], "PTR", "box.tox.internal."),
        (REVERSE[1], "PTR", "box.tox.internal."),
    ],
)
def test_names_and_addresses_are_answered(name: str, kind: str, text: str) -> None:
    response = ask(name, kind)
    assert (response.rcode(), texts(response)) == (dns.rcode.NOERROR, [text])
    assert response.flags & dns.flags.AA and not response.flags & (dns.flags.RA | dns.flags.TC)


def test_case_does_not_matter_and_is_given_back_as_asked() -> None:
    response = ask("bOx.TOX.Internal")
    assert texts(response) == ["100.64.1.2"]
    assert [str(rrset.name) for rrset in response.question + response.answer] == ["bOx.TOX.Internal."] * 2


@pytest.mark.parametrize(
    ("name", "kind", "rcode"),
    [
        ("nobody.tox.internal", "A", dns.rcode.NXDOMAIN),
        ("www.box.tox.internal", "A", dns.rcode.NXDOMAIN),
        ("four-only.tox.internal", "AAAA", dns.rcode.NOERROR),
        ("away.tox.internal", "A", dns.rcode.NOERROR),
        ("box.tox.internal", "MX", dns.rcode.NOERROR),
        ("box.tox.internal", "HTTPS", dns.rcode.NOERROR),
        ("tox.internal", "A", dns.rcode.NOERROR),
        (REVERSE[0], "A", dns.rcode.NOERROR),
    ],
)
def test_nothing_comes_with_the_soa(name: str, kind: str, rcode: dns.rcode.Rcode) -> None:
    response = ask(name, kind)
    assert (response.rcode(), response.answer) == (rcode, [])
    [authority] = response.authority
    assert authority.rdtype == dns.rdatatype.SOA and authority.ttl <= 5
    assert response.question[0].name.is_subdomain(authority.name)


def test_any_and_the_soa_are_answered() -> None:
    assert texts(ask("box.tox.internal", "ANY")) == ["fd74:6f78::2"]
    assert texts(ask("tox.internal", "SOA"))[0].startswith("tox.internal. nobody.tox.internal. ")


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("example.com", "A"),
        ("internal", "A"),
        ("box.nottox.internal", "A"),
        ("tox.internal.example.com", "A"),
        (".", "NS"),
        ("9.9.64.100.in-addr.arpa", "PTR"),  # not ours: somebody else's on a carrier's network
        ("100.in-addr.arpa", "PTR"),
        ("box.tox.internal", "AXFR"),
    ],
)
def test_everything_else_is_refused(name: str, kind: str) -> None:
    response = ask(name, kind)
    assert (response.rcode(), response.answer, response.authority) == (dns.rcode.REFUSED, [], [])
    assert not response.flags & dns.flags.AA


def test_another_class_is_refused() -> None:
    assert ask("box.tox.internal", rdclass="CH").rcode() == dns.rcode.REFUSED


def test_edns_is_answered_in_kind() -> None:
    response = ask("box.tox.internal", use_edns=0, payload=4096)
    assert (response.edns, response.payload) == (0, EDNS_BYTES)
    assert ask("box.tox.internal").edns == -1
    newer = dns.message.make_query("box.tox.internal", "A")
    newer.use_edns(edns=2)
    assert dns.message.from_wire(answer(newer.to_wire(), ZONE)).rcode() == dns.rcode.BADVERS


@pytest.mark.parametrize("opcode", [dns.opcode.NOTIFY, dns.opcode.UPDATE, dns.opcode.STATUS])
def test_other_operations_are_not_implemented(opcode: dns.opcode.Opcode) -> None:
    query = dns.message.make_query("tox.internal", "SOA")
    query.set_opcode(opcode)
    response = dns.message.from_wire(answer(query.to_wire(), ZONE))
    assert (response.rcode(), response.opcode()) == (dns.rcode.NOTIMP, opcode)


def test_what_a_datagram_cannot_hold_is_cut_off_and_told_by_tcp() -> None:
    many = tuple(IPv4Address(0x64400000 + number) for number in range(200))
    zone = Zone.of([ZoneMember(b"1", "box", "", many)])
    for query, limit in (
        (dns.message.make_query("box.tox.internal", "A"), 512),
        (dns.message.make_query("box.tox.internal", "A", use_edns=0, payload=100), 512),
        (dns.message.make_query("box.tox.internal", "A", use_edns=0, payload=65535), EDNS_BYTES),
    ):
        cut = answer(query.to_wire(), zone)
        response = dns.message.from_wire(cut)
        assert response.flags & dns.flags.TC and not response.answer and len(cut) <= limit
        whole = dns.message.from_wire(answer(query.to_wire(), zone, tcp=True))
        assert len(whole.answer[0]) == 200 and not whole.flags & dns.flags.TC


def test_several_questions_are_one_too_many() -> None:
    query = dns.message.make_query("box.tox.internal", "A")
    query.question *= 2
    wire = query.to_wire()
    assert wire[5] == 2
    assert dns.message.from_wire(answer(wire, ZONE)).rcode() == dns.rcode.FORMERR


def test_a_response_is_not_answered() -> None:
    query = dns.message.make_query("box.tox.internal", "A")
    query.flags |= dns.flags.QR
    with pytest.raises(MalformedQueryError) as refused:
        answer(query.to_wire(), ZONE)
    assert refused.value.reply is None


def test_a_name_that_leads_into_itself_is_malformed() -> None:
    header = b"\x12\x34\x01\x00\x00\x01" + bytes(6)
    with pytest.raises(MalformedQueryError) as refused:
        answer(header + b"\xc0\x0c\x00\x01\x00\x01", ZONE)
    assert refused.value.reply is not None
    assert dns.message.from_wire(refused.value.reply).rcode() == dns.rcode.FORMERR
    assert refused.value.reply[:2] == b"\x12\x34"


# -- any bytes

names = st.lists(st.binary(min_size=1, max_size=20), max_size=5).map(
    lambda labels: b"".join(bytes([len(label)]) + label for label in labels) + b"\0"
)
ours = st.sampled_from([b"\3box\3tox\10internal\0", b"\3tox\10internal\0", b"\xc0\x0c", b"\xff\xff"])
records = st.tuples(names | ours, st.binary(min_size=0, max_size=24)).map(b"".join)
messages = st.builds(
    lambda header, parts: header + b"".join(parts),
    st.tuples(
        st.binary(min_size=2, max_size=2),
        st.binary(min_size=2, max_size=2),
        st.lists(st.integers(0, 3).map(lambda count: bytes([0, count])), min_size=4, max_size=4).map(
            b"".join
        ),
    ).map(b"".join),
    st.lists(records, max_size=6),
)


def damaged(wire: bytes, places: list[tuple[int, int]], cut: int) -> bytes:
    changed = bytearray(wire)
    for place, value in places:
        changed[place % len(changed)] = value
    return bytes(changed[: len(changed) - cut])


real = st.builds(
    lambda name, kind, edns: dns.message.make_query(name, kind, use_edns=edns).to_wire(),
    st.sampled_from(["box.tox.internal", "tox.internal", REVERSE[0], "example.com"]),
    st.sampled_from(["A", "AAAA", "PTR", "ANY", "TSIG", "OPT"]),
    st.sampled_from([None, 0]),
)
nearly_real = st.builds(
    damaged,
    real,
    st.lists(st.tuples(st.integers(0, 200), st.integers(0, 255)), max_size=4),
    st.integers(0, 8),
)


@given(st.binary(max_size=600) | messages | nearly_real, st.booleans())
def test_any_bytes_are_answered_or_malformed(query: bytes, tcp: bool) -> None:
    try:
        reply: bytes | None = answer(query, ZONE, tcp=tcp)
    except MalformedQueryError as refused:
        reply = refused.reply
    if reply is not None:
        assert reply[:2] == query[:2] and reply[2] & 0x80
        assert tcp or len(reply) <= EDNS_BYTES
        assert len(reply) <= len(query) + 200  # it is no amplifier


@given(st.integers(0, 65535), st.integers(0, 65535), st.text("abXtox.internal", max_size=60))
def test_another_library_understands_the_answers(number: int, kind: int, name: str) -> None:
    query = bytes(DNS(id=number, qd=DNSQR(qname=name, qtype=kind)))
    try:
        reply: bytes | None = answer(query, ZONE)
    except MalformedQueryError as refused:
        reply = refused.reply
    if reply is not None:
        assert DNS(reply).id == number
