"""Answers DNS messages from a zone: bytes in, bytes out. Pure.

Answered are A, AAAA and PTR of tox.internal and of the reverse names of its addresses. Everything else is
REFUSED: this is no resolver, and asks nobody. What is answered to what: RFC 1035 §4, RFC 2308 (an SOA goes
with NXDOMAIN and with an answer that is empty), RFC 6891 (EDNS), RFC 8482 (ANY).
"""

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rdtypes.ANY.OPT  # dnspython loads these when it first meets them, and -U's user may not be able to
import dns.rdtypes.ANY.PTR
import dns.rdtypes.ANY.SOA
import dns.rdtypes.IN.A
import dns.rdtypes.IN.AAAA
import dns.rrset
from dns.rdatatype import RdataType
from dns.rrset import RRset

from .zone import DOMAIN, Zone, reversed_address

HEADER_BYTES = 12
PLAIN_UDP_BYTES = 512
"""What a datagram may have without EDNS (RFC 1035 §2.3.4)."""
EDNS_BYTES = 1232
"""What fits into an IPv6 packet of 1280 bytes."""
MAX_TCP_BYTES = 65_535
TTL_S = 2
"""A machine may get or lose its name at any moment, and asking again costs little."""

APEX = dns.name.from_text(DOMAIN)
SOA = f"{DOMAIN}. nobody.{DOMAIN}. 1 3600 600 86400 {TTL_S}"
"""Nobody has a mailbox there, and nobody transfers the zone, so that its number stays."""
TRANSFERS = {RdataType.AXFR, RdataType.IXFR}


class MalformedQueryError(Exception):
    """It is no query that can be answered; `reply` is FORMERR where there is somebody to tell."""

    def __init__(self, reply: bytes | None) -> None:
        super().__init__("malformed DNS message")
        self.reply = reply


def answer(query: bytes, zone: Zone, *, tcp: bool = False) -> bytes:
    """The response to a query of any bytes, as long as its way back allows.

    Raises MalformedQueryError.
    """
    try:
        asked = dns.message.from_wire(query)
        if asked.flags & dns.flags.QR:
            raise MalformedQueryError(None)
        response = _respond(asked, zone)
        return _wire(response, asked, tcp)
    except (dns.exception.DNSException, ValueError, AttributeError, IndexError, NotImplementedError):
        raise MalformedQueryError(_format_error(query)) from None


def _respond(asked: dns.message.Message, zone: Zone) -> dns.message.Message:
    if not isinstance(asked, dns.message.QueryMessage):
        response = dns.message.make_response(asked)
        response.set_rcode(dns.rcode.NOTIMP)
        return response
    response = dns.message.make_response(asked, our_payload=EDNS_BYTES)
    if asked.edns > 0:
        response.set_rcode(dns.rcode.BADVERS)
        return response
    if len(asked.question) != 1:
        response.set_rcode(dns.rcode.FORMERR)
        return response
    question = asked.question[0]
    if question.rdclass != dns.rdataclass.IN or question.rdtype in TRANSFERS:
        response.set_rcode(dns.rcode.REFUSED)
    elif question.name.is_subdomain(APEX):
        _answer_forward(response, question, zone)
    else:
        _answer_reverse(response, question, zone)
    return response


def _answer_forward(response: dns.message.Message, question: RRset, zone: Zone) -> None:
    name = question.name
    if name == APEX:
        return _fill(response, question, {RdataType.SOA: [SOA]})
    addresses = None
    if name.parent() == APEX:
        addresses = zone.addresses.get(name.labels[0].lower().decode("latin-1"))
    if addresses is None:
        response.set_rcode(dns.rcode.NXDOMAIN)
        addresses = ()
    four = [str(each) for each in addresses if each.version == 4]
    six = [str(each) for each in addresses if each.version == 6]
    return _fill(response, question, {RdataType.AAAA: six, RdataType.A: four})


def _answer_reverse(response: dns.message.Message, question: RRset, zone: Zone) -> None:
    address = reversed_address(question.name.to_text())
    name = None if address is None else zone.names.get(address)
    if name is None:
        response.set_rcode(dns.rcode.REFUSED)
    else:
        _fill(response, question, {RdataType.PTR: [f"{name}."]})


def _fill(response: dns.message.Message, question: RRset, records: dict[RdataType, list[str]]) -> None:
    """Puts in those of the records that were asked for, of one type; an SOA if there are none."""
    response.flags |= dns.flags.AA
    for kind, texts in records.items():
        if texts and question.rdtype in (kind, RdataType.ANY):
            response.answer.append(dns.rrset.from_text_list(question.name, TTL_S, "IN", kind, texts))
            return
    # a reverse name is the top of a zone of its own: nothing beside it is ours
    top = APEX if question.name.is_subdomain(APEX) else question.name
    response.authority.append(dns.rrset.from_text(top, TTL_S, "IN", RdataType.SOA, SOA))


def _wire(response: dns.message.Message, asked: dns.message.Message, tcp: bool) -> bytes:
    allowed = max(PLAIN_UDP_BYTES, min(asked.payload, EDNS_BYTES)) if asked.edns >= 0 else PLAIN_UDP_BYTES
    try:
        return response.to_wire(max_size=MAX_TCP_BYTES if tcp else allowed)
    except dns.exception.TooBig:
        response.flags |= dns.flags.TC
        response.answer.clear()
        response.authority.clear()
        return response.to_wire(max_size=allowed)


def _format_error(query: bytes) -> bytes | None:
    """The header with FORMERR; None where the message is a response, or has no whole header."""
    if len(query) < HEADER_BYTES or query[2] & 0x80:
        return None
    flags = (0x80 | query[2] & 0x79) << 8 | dns.rcode.FORMERR  # QR; opcode and RD as asked
    return query[:2] + flags.to_bytes(2, "big") + bytes(8)
