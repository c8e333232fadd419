"""One tunnel's accounts where a whole conversation cannot bring them."""

from toxvpn.wire.tuntox import frames
from toxvpn.wire.tuntox.frames import Frame, Version
from toxvpn.wire.tuntox.tunnel import INITIAL_WINDOW_BYTES, WINDOW_BYTES, Tunnel


def test_credit_after_many_gigabytes_is_granted_in_pieces_that_fit_the_field() -> None:
    tunnel = Tunnel(1, 2, Version.V2, inbound=True)
    assert tunnel.receive(9 << 30) is None
    tunnel.consume(9 << 30)
    tunnel.extended = True
    decoded = [frames.decode(packet) for packet in tunnel.grant()]
    granted = []
    for frame in decoded:
        assert isinstance(frame, Frame)
        granted.append(frames.read_credit(frame))
    assert granted == [
        0xFFFFFFFF,
        0xFFFFFFFF,
        (9 << 30) + WINDOW_BYTES - INITIAL_WINDOW_BYTES - 2 * 0xFFFFFFFF,
    ]
    assert tunnel.grant() == [frames.credit(Version.V2, 2, 0)]


def test_a_smaller_window_is_granted_once_half_of_it_is_free() -> None:
    tunnel = Tunnel(1, 2, Version.V2, inbound=True)
    tunnel.extended = True
    tunnel.grant()
    tunnel.receive(WINDOW_BYTES)
    for passed_on, due in ((WINDOW_BYTES - INITIAL_WINDOW_BYTES // 2 - 1, False), (1, True)):
        tunnel.consume(passed_on)
        assert tunnel.credit_due(INITIAL_WINDOW_BYTES) is due
    assert tunnel.grant(INITIAL_WINDOW_BYTES) == [frames.credit(Version.V2, 2, INITIAL_WINDOW_BYTES // 2)]
    assert tunnel.extra_bytes == 0


def test_no_credit_is_due_for_a_direction_that_has_ended() -> None:
    tunnel = Tunnel(1, 2, Version.V2, inbound=True)
    tunnel.extended = True
    tunnel.grant()
    tunnel.receive(WINDOW_BYTES)
    tunnel.consume(WINDOW_BYTES)
    assert tunnel.credit_due()
    tunnel.remote_eof = True
    assert not tunnel.credit_due()
