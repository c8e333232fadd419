import pytest

from toxvpn.tox.brake import FORGOTTEN_S, LONGEST_S, SHORTEST_S, Brake


def settled(packets_per_s: float, turns: int = 100) -> Brake:
    """A brake after so many turns against an allowance that is refilled at this rate."""
    brake = Brake()
    brake.engage(0)
    now, left = 0.0, 0.0
    for _ in range(turns):
        now += brake.spacing_s
        left += packets_per_s * brake.spacing_s
        brake.turned(int(left), now)
        left -= int(left)
    return brake


def test_an_unknown_rate_gets_the_longest_spacing() -> None:
    brake = Brake()
    brake.engage(0)
    assert brake.spacing_s == LONGEST_S
    brake.turned(0, 1)
    assert brake.spacing_s == LONGEST_S


@pytest.mark.parametrize("packets_per_s", [25, 60, 100, 150, 200, 400, 3000])
def test_every_turn_comes_when_a_packet_may_go(packets_per_s: float) -> None:
    assert settled(packets_per_s).spacing_s * packets_per_s > 1.11  # see docs/decisions/0004-braked-turns.md


def test_turns_come_closer_as_the_rate_grows() -> None:
    spacings_s = [settled(rate).spacing_s for rate in (25, 100, 150, 1000)]
    assert spacings_s == sorted(spacings_s, reverse=True)
    assert spacings_s[0] == LONGEST_S
    assert spacings_s[-1] == SHORTEST_S


def test_one_large_turn_is_not_the_rate() -> None:
    brake = Brake()
    brake.engage(0)
    brake.turned(70, 0.05)
    assert brake.spacing_s == LONGEST_S / 2
    brake.turned(0, 0.075)
    assert brake.spacing_s == LONGEST_S


def test_what_was_learnt_is_forgotten_after_a_while() -> None:
    brake = settled(1000)
    used_s = 100 * LONGEST_S
    brake.turned(10, used_s)
    brake.engage(used_s + FORGOTTEN_S)
    assert brake.spacing_s == SHORTEST_S
    brake.engage(used_s + FORGOTTEN_S + 0.1)
    assert brake.spacing_s == LONGEST_S
