from toxvpn.wire.ratelimit import RateLimit


def taken(limit: RateLimit, now: float, tries: int = 1000) -> int:
    return sum(limit.take(now) for _ in range(tries))


def test_a_burst_and_then_a_rate() -> None:
    limit = RateLimit(2, 10)
    assert taken(limit, 0) == 10
    assert taken(limit, 0.4) == 0
    assert taken(limit, 0.5) == 1
    assert taken(limit, 5.5) == 10
    assert taken(limit, 1e9) == 10
    assert taken(limit, 1e9 + 3) == 6


def test_many_small_steps_lose_nothing() -> None:
    limit = RateLimit(2, 10)
    taken(limit, 0)
    assert sum(limit.take(step / 100) for step in range(1, 1001)) == 20


def test_a_clock_that_goes_back_takes_nothing_away() -> None:
    limit = RateLimit(2, 10)
    assert limit.take(100)
    assert taken(limit, 50) == 9
