"""A round's faults follow from its seed, one after the other, and are over when the round is."""

from itertools import pairwise
from random import Random

import pytest

from bench.soak.faults import BOX, LAPTOP, NODES, Fault, plan


@pytest.mark.parametrize("faults", [BOX, LAPTOP, NODES])
def test_a_plan(faults: tuple[Fault, ...]) -> None:
    events = [*plan(Random("7/3/box"), faults, 600.0)]
    assert [*plan(Random("7/3/box"), faults, 600.0)] == events
    assert {event.fault for event in events} == set(faults)
    for event, following in pairwise(events):
        assert event.at_s + event.lasts_s <= following.at_s
    assert events[-1].at_s + events[-1].lasts_s <= 600.0
