"""What `toxvpn try` says around the trial; tests/netns/test_try.py has the trial itself."""

from typing import Any

import pytest

from toxvpn.errors import ToxvpnError
from toxvpn.trial import machines, run
from toxvpn.trial.machines import Machine, Machines
from toxvpn.trial.steps import Story

TOGETHER = Machines(Machine("laptop", "127.0.0.1"), Machine("server", "127.0.0.1"), "no namespaces here")
APART = Machines(Machine("laptop", "192.0.2.1", 3, 3), Machine("server", "192.0.2.2", 4, 3))


@pytest.fixture
def trial(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Sets the machines, and the outcome: an exit code or an error."""

    def set_up(made: Machines, outcome: int | Exception) -> None:
        def run_trial(_: Machines, story: Story, show: Any) -> int:
            if isinstance(outcome, Exception):
                raise outcome
            story.command(made.server, "toxvpn")
            show("server", "a line of its log")
            return outcome

        monkeypatch.setattr(machines, "make_machines", lambda: made)
        monkeypatch.setattr(run, "run_trial", run_trial)

    return set_up


def test_one_that_works_ends_with_what_to_type(toxvpn: Any, trial: Any) -> None:
    trial(APART, 0)
    ran = toxvpn("try")
    assert (ran.code, ran.err) == (0, "")
    assert "network namespaces" in ran.out and "server$ toxvpn\n" in ran.out
    assert "It works" in ran.out and "laptop$ ssh -p 2222 localhost" in ran.out


@pytest.mark.parametrize("flag", ["-v", "-d"])
def test_what_the_programs_print(toxvpn: Any, trial: Any, flag: str) -> None:
    trial(APART, 0)
    assert "server: a line of its log\n" in toxvpn("try", flag).err


def test_it_says_why_both_are_on_loopback(toxvpn: Any, trial: Any) -> None:
    trial(TOGETHER, 0)
    assert "on loopback (no namespaces here)" in toxvpn("try").out


def test_one_that_was_stopped_does_not_say_that_it_works(toxvpn: Any, trial: Any) -> None:
    trial(APART, 130)
    ran = toxvpn("try")
    assert ran.code == 130 and "It works" not in ran.out


def test_one_that_failed(toxvpn: Any, trial: Any) -> None:
    trial(APART, ToxvpnError("the page could not be fetched"))
    ran = toxvpn("try")
    assert (ran.code, ran.err) == (1, "toxvpn: the page could not be fetched\n")


@pytest.mark.parametrize("flags", [["-C", "here"], ["-b", "nodes.json"]])
def test_it_has_a_directory_and_a_network_of_its_own(toxvpn: Any, flags: list[str]) -> None:
    ran = toxvpn("try", *flags)
    assert ran.code == 2 and "leave -C and -b out" in ran.err
