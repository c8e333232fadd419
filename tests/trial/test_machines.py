"""Whether there are two machines; tests/netns/test_try.py has what they are like."""

import pytest

from toxvpn.namespaces import BuildError
from toxvpn.trial import machines
from toxvpn.trial.machines import LOOPBACK, Machine, Machines, make_machines

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # the test runner has threads
APART = Machines(Machine("laptop", "192.0.2.1", 3, 3), Machine("server", "192.0.2.2", 4, 3))


def test_where_namespaces_are_refused_both_are_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused() -> Machines:
        raise BuildError("user namespaces are not allowed here")

    monkeypatch.setattr(machines, "separate", refused)
    together = make_machines()
    assert together.why_together == "user namespaces are not allowed here"
    assert together.laptop.address == together.server.address == LOOPBACK
    with together.server.entered():
        pass


def test_where_they_are_not_each_has_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machines, "separate", lambda: APART)
    assert make_machines() is APART


def test_a_way_of_failing_that_nobody_has_thought_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machines, "separate", lambda: 1 // 0)
    assert make_machines().why_together == "integer division or modulo by zero"
