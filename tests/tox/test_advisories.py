"""Messages to a person about known flaws of libtoxcore and of the kernel."""

import logging
import platform
from random import Random

import pytest

from toxvpn._native import toxcore
from toxvpn._native.flaws import ANNOUNCE
from toxvpn._native.net import netio
from toxvpn.state.identity import Identity
from toxvpn.tox import advisories
from toxvpn.tox import handle as birth

STANDS = netio.Hook(True, "")
DOES_NOT = netio.Hook(False, "TOXVPN_SOCKETS=off")


def given(monkeypatch: pytest.MonkeyPatch, shield: netio.Hook | None) -> None:
    """A flawed libtoxcore with that shield, or one that needs none."""
    monkeypatch.setattr(toxcore, "FLAW", None if shield is None else ANNOUNCE)
    monkeypatch.setattr(netio, "shield", lambda: shield)


def test_a_libtoxcore_without_the_flaw_is_no_news(monkeypatch: pytest.MonkeyPatch) -> None:
    given(monkeypatch, None)
    assert advisories.describe_libtoxcore() == f"libtoxcore {toxcore.version()}"
    assert (advisories.describe_shield(), advisories.describe_exposure()) == (None, None)


def test_a_shielded_one_is_told_and_no_danger(monkeypatch: pytest.MonkeyPatch) -> None:
    given(monkeypatch, STANDS)
    assert "GHSA-42vg-9mg3-399f, fixed in libtoxcore 0.2.23" in advisories.describe_libtoxcore()
    assert advisories.describe_shield() == "in force: such datagrams are dropped"
    assert advisories.describe_exposure() is None


@pytest.mark.parametrize("shield", [STANDS, DOES_NOT])
def test_a_bundled_and_patched_one_is_told_and_no_danger_without_a_shield_either(
    monkeypatch: pytest.MonkeyPatch, shield: netio.Hook
) -> None:
    given(monkeypatch, shield)
    monkeypatch.setattr(toxcore, "FLAW", None)
    monkeypatch.setattr(toxcore, "PATCHED", ANNOUNCE.name)
    monkeypatch.setattr(toxcore, "file", lambda: "/venv/site-packages/toxvpn.libs/libtoxcore-abc.so.2")
    name = f"libtoxcore {toxcore.version()}, bundled"
    assert advisories.describe_libtoxcore() == f"{name}: GHSA-42vg-9mg3-399f is fixed in it by a patch"
    assert str(advisories.describe_shield()).startswith("in force" if shield == STANDS else "not in force")
    assert advisories.describe_exposure() is None


@pytest.mark.parametrize("shield", [None, STANDS, DOES_NOT])
def test_only_the_exposed_are_warned_at_each_start_and_with_q_too(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, shield: netio.Hook | None
) -> None:
    given(monkeypatch, shield)
    birth.make_tox(Identity.ephemeral(), Random()).close()
    loud = [record.message for record in caplog.records if record.levelno >= logging.ERROR]
    assert len(loud) == (shield == DOES_NOT)
    assert all("any stranger" in line and "TOXVPN_SOCKETS=off" in line for line in loud)


@pytest.mark.parametrize(
    ("release", "asked", "sent"),
    [
        ("6.12.43", None, True),
        ("6.12.43", False, False),
        ("7.0.3-1-pve", None, False),
        ("7.0.3-1-pve", True, True),
    ],
)
def test_a_kernel_that_corrupts_batches_gets_none_unless_asked_for(
    monkeypatch: pytest.MonkeyPatch, release: str, asked: bool | None, sent: bool
) -> None:
    monkeypatch.setattr(platform, "release", lambda: release)
    made = []
    monkeypatch.setattr(birth, "Tox", lambda options, savedata: made.append(options))
    birth.make_tox(Identity.ephemeral(), Random(), udp_segmentation=asked)
    assert [options.udp_segmentation for options in made] == [sent]
    assert (advisories.describe_segmentation_flaw() is not None) == release.startswith("7")
