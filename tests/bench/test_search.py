"""The greatest rate that passes is found, to within 4.4 %, by few questions."""

from hypothesis import given
from hypothesis import strategies as st

from bench.search import greatest


@given(st.floats(1, 10_000), st.floats(2, 500))
def test_the_limit_is_found(limit: float, start: float) -> None:
    asked: list[float] = []

    def passes(rate: float) -> bool:
        asked.append(rate)
        return rate <= limit

    found = greatest(passes, start, 0.5)
    assert found is not None
    assert found <= limit < found * 1.0443
    assert len(asked) == len(set(asked)) <= 19


def test_below_the_least_nothing_is_tried() -> None:
    asked: list[float] = []

    def refuses(rate: float) -> bool:
        asked.append(rate)
        return False

    assert greatest(refuses, 16, 4) is None
    assert asked == [16, 8, 4]
