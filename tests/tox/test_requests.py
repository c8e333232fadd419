from toxvpn.tox.requests import LOST_S, REPEAT_S, FriendRequests

KEY, ADDRESS = bytes(32), bytes(38)


def test_repeats_every_45_seconds() -> None:
    requests = FriendRequests()
    requests.sent(KEY, ADDRESS, b"secret\0", 0)
    assert requests.due(REPEAT_S - 0.1) == []
    assert requests.due(REPEAT_S) == [(ADDRESS, b"secret\0")]
    assert requests.due(REPEAT_S + 1) == []
    assert requests.due(2 * REPEAT_S) == [(ADDRESS, b"secret\0")]


def test_a_lost_peer_is_asked_again_sooner() -> None:
    requests = FriendRequests()
    requests.sent(KEY, ADDRESS, b"hi", 0)
    requests.lost(KEY, 1000)
    assert requests.due(1000) == []
    assert requests.due(1000 + LOST_S) == [(ADDRESS, b"hi")]


def test_forgotten_and_unknown() -> None:
    requests = FriendRequests()
    requests.sent(KEY, ADDRESS, b"hi", 0)
    requests.forget(KEY)
    requests.lost(KEY, 5)
    assert requests.due(1e9) == []
