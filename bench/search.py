"""The greatest rate that something still carries, found by trying."""

from collections.abc import Callable
from functools import cache

FACTOR = 2.0
STEPS = 4
"""Halvings of the ratio between a rate that passes and one that does not: 2 becomes 1.044."""


def greatest(passes: Callable[[float], bool], start: float, least: float) -> float | None:
    """The greatest value that passes, to within 4.4 %; None when none from `least` on does.

    `passes` is asked about every value once, and ought to be true up to some value and false from there on.
    """
    passes = cache(passes)
    low = start
    while not passes(low):
        low /= FACTOR
        if low < least:
            return None
    while passes(low * FACTOR):
        low *= FACTOR
    high = low * FACTOR
    for _ in range(STEPS):
        middle = (low * high) ** 0.5
        low, high = (middle, high) if passes(middle) else (low, middle)
    return low
