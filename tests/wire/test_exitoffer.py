import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toxvpn.wire import exitoffer, statusmessage
from toxvpn.wire.exitoffer import MOST_TAGS, VERSIONS, ExitOffer, decode_untrusted, encode, offer

EXIT, PEER, OTHER = (bytes([number]) * 32 for number in (1, 2, 3))
versions = st.frozensets(st.sampled_from([4, 6]))
keys = st.lists(st.binary(min_size=32, max_size=32), max_size=MOST_TAGS + 2, unique=True)


@given(versions, versions, keys)
def test_an_offer_survives_the_status_message(
    ip: frozenset[int], dns: frozenset[int], peers: list[bytes]
) -> None:
    made = offer(EXIT, peers, ip, dns)
    text = statusmessage.encode(statusmessage.Status(toxvpn=statusmessage.ToxvpnStatus(exit=made)))
    status = statusmessage.decode(text)
    assert status.problem is None and status.toxvpn is not None
    assert status.toxvpn.exit == made
    assert (made is None) == (not peers or not ip)


def test_a_peer_recognises_itself_and_nobody_else() -> None:
    made = offer(EXIT, [PEER], VERSIONS, VERSIONS)
    assert made is not None
    assert made.is_for(EXIT, PEER)
    assert not made.is_for(EXIT, OTHER)
    assert not made.is_for(OTHER, PEER)


def test_with_too_many_for_the_message_everybody_may_try() -> None:
    many = [bytes([number]) * 32 for number in range(MOST_TAGS + 1)]
    made = offer(EXIT, many, VERSIONS, VERSIONS)
    assert made is not None and made.tags is None and made.is_for(EXIT, OTHER)


def test_the_form_is_that_of_the_documentation() -> None:
    assert encode(ExitOffer(frozenset({4, 6}), frozenset({4}), frozenset({exitoffer.tag(EXIT, PEER)}))) == {
        "ip": [4, 6],
        "dns": [4],
        "to": ["4Rw6vX-c"],
    }


@pytest.mark.parametrize(
    "value",
    [[], "all", 4, {"ip": 4}, {"ip": ["4"]}, {"ip": [True]}, {"dns": {}}, {"to": "x"}, {"to": ["short"]},
     {"to": ["q83vEjR\n"]}, {"to": [4]}],
)  # fmt: skip
def test_another_form_is_refused(value: object) -> None:
    with pytest.raises(ValueError):
        decode_untrusted(value)
    text = json.dumps({"toxvpn": {"v": 1, "exit": value}}).encode()
    assert "its exit" in str(statusmessage.decode(text).problem)


def test_versions_of_the_future_are_left_out() -> None:
    assert decode_untrusted({"ip": [4, 7], "speed": 9}) == ExitOffer(frozenset({4}))
