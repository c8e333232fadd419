"""The same bytes, however they are taken."""

from hypothesis import given
from hypothesis import strategies as st

from bench.soak.content import Content


@given(st.lists(st.integers(0, 100_000), max_size=5))
def test_portions_do_not_matter(sizes: list[int]) -> None:
    once, portions = Content("a"), Content("a")
    assert b"".join(portions.take(size) for size in sizes) == once.take(sum(sizes))


def test_another_seed_gives_others() -> None:
    assert Content(("a", "up")).take(100) != Content(("a", "down")).take(100)
