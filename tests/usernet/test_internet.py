"""Why a user's network has no way to the Internet; tests/netns/test_exec.py has the way."""

import shutil

import pytest

from toxvpn.errors import ToxvpnError
from toxvpn.testing.netns import as_somebody, become_somebody, enter_new_netns, have_namespaces, in_child
from toxvpn.usernet.internet import Internet
from toxvpn.usernet.namespace import UserNamespace

pytestmark = pytest.mark.skipif(not have_namespaces(), reason="needs root and TUN devices")


def refusal() -> str:
    with UserNamespace.start() as namespace, pytest.raises(ToxvpnError) as error:
        Internet(namespace)
    return str(error.value)


def test_without_pasta(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda program: None)
    assert "apt install passt" in as_somebody(refusal)


@pytest.mark.skipif(shutil.which("pasta") is None, reason="needs passt")
def test_a_machine_without_any_network() -> None:
    text = in_child(lonely, refusal)
    assert text.startswith("no Internet for this network: pasta says") and len(text.splitlines()) == 1


def lonely() -> None:
    enter_new_netns()
    become_somebody()
