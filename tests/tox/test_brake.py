import pytest

from toxvpn.tox.brake import COMFORTABLE_S, FORGOTTEN_S, LONGEST_S, SHORTEST_S, Brake


def settled(packets_per_s: float, steps: int = 100) -> Brake:
    """A brake after so many steps against an allowance that is refilled at this rate."""
    brake = Brake()
    brake.engage(0)
    now, left = 0.0, 0.0
    for _ in range(steps):
        now += brake.step_s
        left += packets_per_s * brake.step_s
        brake.stepped(int(left), now)
        left -= int(left)
    return brake


def test_an_unknown_rate_gets_the_longest_step() -> None:
    brake = Brake()
    brake.engage(0)
    assert brake.step_s == LONGEST_S
    brake.stepped(0, 1)
    assert brake.step_s == LONGEST_S


@pytest.mark.parametrize("packets_per_s", [25, 60, 100, 150, 200, 400, 3000, 50_000])
def test_a_packet_may_go_after_every_step(packets_per_s: float) -> None:
    assert settled(packets_per_s).step_s * packets_per_s > 1.11  # see docs/decisions/0004-time-in-steps.md


@pytest.mark.parametrize("packets_per_s", [5000, 10_000, 30_000, 60_000])
def test_never_so_many_are_allowed_that_toxcore_would_cut_them(packets_per_s: float) -> None:
    assert settled(packets_per_s).step_s * packets_per_s <= 64


def test_steps_become_shorter_as_the_rate_grows() -> None:
    steps_s = [settled(rate).step_s for rate in (25, 100, 150, 1000, 10_000, 100_000)]
    assert steps_s == sorted(steps_s, reverse=True)
    assert steps_s[0] == LONGEST_S
    assert steps_s[3] == COMFORTABLE_S
    assert steps_s[-1] == SHORTEST_S


def test_one_large_step_is_not_the_rate() -> None:
    brake = Brake()
    brake.engage(0)
    brake.stepped(70, 0.05)
    assert brake.step_s == LONGEST_S / 2
    brake.stepped(0, 0.075)
    assert brake.step_s == LONGEST_S


def test_what_was_learnt_is_forgotten_after_a_while() -> None:
    brake = settled(1000)
    used_s = 100 * LONGEST_S
    brake.stepped(10, used_s)
    brake.engage(used_s + FORGOTTEN_S)
    assert brake.step_s == COMFORTABLE_S
    brake.engage(used_s + FORGOTTEN_S + 0.1)
    assert brake.step_s == LONGEST_S
