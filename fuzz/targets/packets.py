"""What comes in packets of Tox: custom packets, a status message, and a stranger's friend request."""

from ipaddress import ip_address

from toxvpn.wire import exitoffer, invite, pathmtu, secret, statusmessage
from toxvpn.wire.answers import Echo, Opening, Unreachable, echo_reply, reset, unreachable
from toxvpn.wire.answers import parse_untrusted as parse_opening
from toxvpn.wire.ip import CUSTOM_PACKET_BYTES, checksum, parse_untrusted
from toxvpn.wire.pathmtu import PathMtu, Probe, ProbeKind
from toxvpn.wire.reach import hello, mapped, relaylist, relayoffer, whereabouts
from toxvpn.wire.tuntox import frames

from ..target import Choices, target


@target
def frame(data: bytes) -> None:
    """A tuntox frame: what is read of it can be written again, and is the same packet."""
    found = frames.decode(data)
    if isinstance(found, frames.FrameDrop):
        return
    version = found.version
    asked, denial = frames.read_request(found), frames.read_denial(found)
    if found.type is frames.FrameType.REQUESTTUNNEL and isinstance(asked, frames.RequestPayload):
        host = frames.encode_host(asked.host)
        assert host is not None
        assert frames.request(version, asked.forward_id or 0, host, asked.port) == data
    if isinstance(denial, frames.Denial):
        assert denial.text.isprintable()
        again = frames.deny(version, denial.forward_id, found.connid, denial.reason, denial.text)
        read = frames.decode(again)
        assert isinstance(read, frames.Frame)
        said = frames.read_denial(read)
        assert isinstance(said, frames.Denial)
        assert (said.forward_id, said.reason) == (denial.forward_id, denial.reason)
        assert denial.text.startswith(said.text)
    frames.read_ack(found)
    frames.read_credit(found)


@target
def status(data: bytes) -> None:
    """A status message never raises; what was understood can be said again, and means the same."""
    found = statusmessage.decode(data)
    assert found.problem is None or "\n" not in found.problem
    if found.toxvpn is None:
        return
    said, left_out = statusmessage.fit(found)
    again = statusmessage.decode(said)
    assert again.ip4 == found.ip4
    if not left_out:
        assert again.toxvpn == found.toxvpn
    if found.toxvpn.exit is not None:
        exitoffer.decode_untrusted(exitoffer.encode(found.toxvpn.exit))


@target
def relay_list(data: bytes) -> None:
    """The relays of a peer: few, and at addresses of hosts."""
    found = relaylist.decode_untrusted(data)
    if found is None:
        return
    assert len(found) <= relaylist.MOST
    assert relaylist.decode_untrusted(relaylist.encode(found)) == found
    for each in found:
        address = ip_address(each.host)
        assert not address.is_loopback
        assert not address.is_multicast
        assert each.port


@target
def mapped_port(data: bytes) -> None:
    """The port that a peer's router has mapped: on the Internet, or an error."""
    packet = bytes([mapped.PACKET_ID]) + data
    try:
        found = mapped.decode_untrusted(packet)
    except ValueError:
        return
    assert mapped.encode(found) == packet
    if found is not None:
        address = ip_address(found[0])
        assert not (address.is_loopback or address.is_multicast or address.is_link_local)


@target
def greeting(data: bytes) -> None:
    """What somebody in the local network says, to everybody."""
    for datagram in (data, hello.encode(hello.Greeting(bytes(32), 1))[:8] + data):
        found = hello.decode_untrusted(datagram)
        if found is not None:
            assert hello.encode(found) == datagram
            assert found.port


@target
def relay_offer(data: bytes) -> None:
    """Whom a friend relays for: those that we know, by the index that it has said."""
    choices = Choices(data)
    known = [bytes([number]) * 32 for number in range(4)]
    offered = {choices.number(): known[number] for number in range(choices.below(4))}
    said = relayoffer.encode(known[0], known[1], offered)
    read = relayoffer.decode_untrusted(said, known[0], known[1], known)
    assert read == {key: index for index, key in offered.items() if key not in known[:2]}
    found = relayoffer.decode_untrusted(choices.rest(), known[0], known[1], known)
    assert found is None or set(found) <= set(known[2:])


@target
def whereabouts_told(data: bytes) -> None:
    """Where a peer is: what was understood can be said again."""
    found = whereabouts.decode_untrusted(data)
    if found is not None:
        assert whereabouts.decode_untrusted(whereabouts.encode(found)) == found


@target
def path_mtu(data: bytes) -> None:
    """Probes and acknowledgements, in any order and at any time: the size stays one of the ladder."""
    choices, now = Choices(data), 0.0
    path = PathMtu()
    sent: list[Probe] = []
    while choices.left:
        match choices.below(8):
            case 0:
                path.search(now)
            case 1:
                path.stop()
            case 2:
                if (probe := pathmtu.decode_untrusted(choices.chunk(2000))) is not None:
                    assert pathmtu.LADDER[-1] <= probe.size_bytes <= CUSTOM_PACKET_BYTES
                    path.acknowledged(probe.token, probe.size_bytes, now)
            case 3 if sent:
                probe = choices.pick(sent)
                path.acknowledged(probe.token, probe.size_bytes, now)
            case 4:
                path.put_back(path.next_probes(), now)
            case _:
                now = max(now, (path.next_timer() or now) + choices.number() / 256 - 0.1)
                path.handle_timer(now)
        probes = path.next_probes()
        assert len(probes) <= pathmtu.AT_ONCE
        for each in probes:
            packet = pathmtu.encode(each)
            assert pathmtu.decode_untrusted(packet) == each
            answer = pathmtu.encode(pathmtu.acknowledgement(each))
            assert len(answer) == pathmtu.ACKNOWLEDGEMENT_BYTES
        sent = (sent + [each for each in probes if each.kind is ProbeKind.PROBE])[-8:]
        assert path.packet_bytes in pathmtu.LADDER


@target
def path_of_a_size(data: bytes) -> None:
    """A search finds the largest size that the path carries; one that is lost does not matter."""
    choices, path, now = Choices(data), PathMtu(), 0.0
    carried = pathmtu.LADDER[-1] + choices.number(2) % (CUSTOM_PACKET_BYTES - pathmtu.LADDER[-1] + 1)
    lost = {choices.below(200) for _ in range(choices.below(2))}
    answered = 0
    path.search(now)
    for _ in range(1000):
        for probe in path.next_probes():
            answered += probe.size_bytes <= carried
            if probe.size_bytes <= carried and answered - 1 not in lost:
                path.acknowledged(probe.token, probe.size_bytes, now)
        if not path.searching:
            break
        now = path.next_timer() or now
        path.handle_timer(now)
    assert path.packet_bytes == max(size for size in pathmtu.LADDER if size <= carried)


@target
def friend_request(data: bytes) -> None:
    """A stranger's message: an invite's secret, or the shared secret, or neither."""
    redeemed = invite.parse_request(data)
    if redeemed is not None:
        assert invite.request_message(redeemed) == data
        assert secret.judge_friend_request(data, redeemed) is not secret.SecretVerdict.ACCEPTED
    verdict = secret.judge_friend_request(data, b"open sesame")
    assert (verdict is secret.SecretVerdict.ACCEPTED) == (data == b"open sesame\0")


@target
def opening(data: bytes) -> None:
    """What a packet asks of a router, and the answers: well-formed, to its sender, with right checksums."""
    asked = parse_opening(data)
    if asked is None:
        return
    answers = [unreachable(asked.flow, asked.packet, reason) for reason in Unreachable]
    if isinstance(asked, Opening):
        answers.append(reset(asked))
    if isinstance(asked, Echo):
        answers.append(echo_reply(asked.flow, asked.sequence, asked.payload))
    for each in answers:
        header = parse_untrusted(each)
        assert header is not None
        assert (header.source, header.destination) == (asked.flow.destination, asked.flow.source)
        assert header.version == 6 or checksum(each[:20]) == 0
