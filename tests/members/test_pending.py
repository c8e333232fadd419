from toxvpn.members.pending import MOST_AGAIN, MOST_ONCE, MOST_SHOWN, Pending, PendingRequest


def key(number: int) -> bytes:
    return number.to_bytes(32, "big")


def test_one_entry_for_each_key_those_who_asked_again_first() -> None:
    pending = Pending()
    pending.note(key(1), "unknown key", 100)
    pending.note(key(1), "the secret is wrong", 200)
    pending.note(key(2), "unknown key", 300)
    pending.note(key(3), "unknown key", 400)
    assert list(pending) == [
        PendingRequest(key(1), 100, 200, 2, "the secret is wrong"),
        PendingRequest(key(3), 400, 400, 1, "unknown key"),
        PendingRequest(key(2), 300, 300, 1, "unknown key"),
    ]


def test_who_asks_again_is_not_crowded_out_by_new_keys() -> None:
    pending = Pending()
    pending.note(key(0), "unknown key", 0)
    for number in range(1, MOST_ONCE):
        pending.note(key(number), "unknown key", number)
    pending.note(key(0), "unknown key", 45)
    for number in range(10_000, 10_000 + 2 * MOST_ONCE):
        pending.note(key(number), "unknown key", number)
    assert pending.shown[0].public_key == key(0)
    assert len(pending.shown) == MOST_SHOWN and len(list(pending)) == MOST_ONCE + 1


def test_a_flood_keeps_the_newest() -> None:
    pending = Pending()
    for number in range(2 * MOST_ONCE):
        for _ in range(2):
            pending.note(key(number), "unknown key", number)
    kept = [request.public_key for request in pending]
    assert len(kept) == MOST_AGAIN and kept[0] == key(2 * MOST_ONCE - 1)


def test_forgetting() -> None:
    pending = Pending()
    for _ in range(2):
        pending.note(key(1), "unknown key", 100)
        pending.note(key(2), "unknown key", 100)
        pending.forget(key(1))
        pending.forget(key(1))
    assert [request.public_key for request in pending] == [key(2)]
