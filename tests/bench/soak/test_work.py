"""What may be said of how a stream ended, and what is a problem."""

from types import SimpleNamespace
from typing import Any

import pytest

from bench.soak.streams import Carried, Ending
from bench.soak.ways import Way
from bench.soak.work import problem_of

HERE: Any
THERE: Any
HERE, THERE = SimpleNamespace(killed=False), SimpleNamespace(killed=False)


def program(machine: Any) -> Any:
    return SimpleNamespace(ended_since=lambda _: machine.killed)


FORWARD = Way("forward", dial=None, near=program, far=program, most_bytes=1)  # type: ignore[arg-type]
KERNEL = Way("VPN", dial=None, near=None, far=None, most_bytes=1)  # type: ignore[arg-type]
WHOLE, RESET, CUT, WRONG, LEFT = Ending.WHOLE, Ending.RESET, Ending.CUT, Ending.WRONG, Ending.LEFT


@pytest.mark.parametrize("way", [FORWARD, KERNEL])
@pytest.mark.parametrize(
    ("near", "far", "problem"),
    [
        (WHOLE, WHOLE, ""),
        (RESET, RESET, ""),
        (RESET, None, ""),
        (RESET, WHOLE, ""),
        (WRONG, RESET, "wrong bytes"),
        (RESET, WRONG, "wrong bytes"),
        (CUT, RESET, "cut short at the caller, without a reset"),
        (RESET, CUT, "cut short at the target, without a reset"),
        (WHOLE, RESET, "whole at the caller, and at the target reset"),
        (WHOLE, None, "whole at the caller, and at the target it never came"),
        (RESET, LEFT, "the target was not told that it had ended"),
    ],
)
def test_while_all_run(way: Way, near: Ending, far: Ending | None, problem: str) -> None:
    assert problem_of(way, HERE, THERE, 0.0, Carried(near, far, 1)) == problem


@pytest.mark.parametrize(
    ("killed_here", "killed_there", "near", "far", "is_excused"),
    [
        (True, False, CUT, RESET, True),
        (True, False, RESET, CUT, False),
        (True, False, RESET, LEFT, True),
        (False, True, RESET, CUT, True),
        (False, True, CUT, RESET, False),
        (True, True, WHOLE, CUT, False),
        (True, True, CUT, WRONG, False),
    ],
)
def test_who_is_killed_says_nothing_more(
    killed_here: bool, killed_there: bool, near: Ending, far: Ending, is_excused: bool
) -> None:
    here: Any = SimpleNamespace(killed=killed_here)
    there: Any = SimpleNamespace(killed=killed_there)
    assert (problem_of(FORWARD, here, there, 0.0, Carried(near, far, 1)) == "") is is_excused
    assert problem_of(KERNEL, here, there, 0.0, Carried(near, far, 1)) != ""
