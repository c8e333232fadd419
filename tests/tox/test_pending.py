from toxvpn.tox.pending import MOST_PENDING, Pending, PendingRequest


def key(number: int) -> bytes:
    return number.to_bytes(32, "big")


def test_one_entry_for_each_key_the_newest_first() -> None:
    pending = Pending()
    pending.note(key(1), "unknown key", 100)
    pending.note(key(2), "unknown key", 200)
    pending.note(key(1), "the secret is wrong", 300)
    assert list(pending) == [
        PendingRequest(key(1), 100, 300, 2, "the secret is wrong"),
        PendingRequest(key(2), 200, 200, 1, "unknown key"),
    ]


def test_a_flood_keeps_the_newest() -> None:
    pending = Pending()
    for number in range(MOST_PENDING + 10):
        pending.note(key(number), "unknown key", number)
        pending.note(key(0), "unknown key", number)  # who asks again is not crowded out
    kept = [request.public_key for request in pending]
    assert len(kept) == MOST_PENDING
    assert kept[:2] == [key(0), key(MOST_PENDING + 9)]


def test_forgetting() -> None:
    pending = Pending()
    pending.note(key(1), "unknown key", 100)
    pending.forget(key(1))
    pending.forget(key(1))
    assert list(pending) == []
