"""systemd-resolved is told by D-Bus: on a bus of the test's own, where a fake says what the test wants."""

import asyncio
import contextlib
import logging
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Any

import pytest
from jeepney import DBusAddress, HeaderFields, MessageType, new_error, new_method_return, new_signal
from jeepney.bus_messages import message_bus
from jeepney.io.asyncio import DBusConnection, DBusRouter, open_dbus_connection

from toxvpn.names import resolved as resolved_module
from toxvpn.names.resolved import NAME, LinkSettings, ResolvedLink, hears_of

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(not shutil.which("dbus-daemon"), reason="needs dbus-daemon"),
]

SETTINGS = LinkSettings(
    "toxvpn0", 7, IPv6Address("fd74:6f78::1"), 53, ("tox.internal", "1.0.10.in-addr.arpa")
)
BUS = """
<busconfig>
<type>system</type><listen>unix:path={path}</listen><auth>EXTERNAL</auth>
<policy context="default"><allow user="*"/><allow own="*"/><allow send_destination="*"/>
<allow receive_sender="*"/><allow eavesdrop="true"/></policy>
</busconfig>
"""


class FakeResolved:
    """Owns resolve1's name from `start` until `stop`, and keeps the settings of links."""

    def __init__(self) -> None:
        self.links: dict[int, dict[str, Any]] = {}
        self.looked = 0
        """How often somebody has asked what is in force."""
        self.refusals: list[str] = []
        """Names of errors for the next calls that set something."""
        self._connection: DBusConnection | None = None
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._connection = await open_dbus_connection("SYSTEM")
        async with DBusRouter(self._connection) as router:
            await router.send_and_get_reply(message_bus.RequestName(NAME))
        self._task = asyncio.create_task(self._serve(self._connection))

    async def stop(self) -> None:
        assert self._connection is not None and self._task is not None
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        await self._connection.close()
        self.links.clear()

    async def changed(self) -> None:
        """Tell that something has changed, as another program would have made it do."""
        assert self._connection is not None
        manager = DBusAddress("/org/freedesktop/resolve1", None, "org.freedesktop.DBus.Properties")
        body: Any = (f"{NAME}.Manager", {"DNS": ("a(iiay)", [])}, [])
        await self._connection.send(new_signal(manager, "PropertiesChanged", "sa{sv}as", body))

    async def _serve(self, connection: DBusConnection) -> None:
        while True:
            call = await connection.receive()
            if call.header.message_type is not MessageType.method_call:
                continue
            member = call.header.fields[HeaderFields.member]
            if member.startswith("SetLink") and self.refusals:
                await connection.send(new_error(call, self.refusals.pop(0), "s", ("no",)))
            else:
                signature, body = self._answer(member, call.body)
                await connection.send(new_method_return(call, signature, body))

    def _answer(self, member: str, body: Any) -> tuple[str | None, tuple[Any, ...]]:
        if member == "GetLink":
            return "o", (f"/org/freedesktop/resolve1/link/_{body[0]}",)
        if member == "Get":
            self.looked += 1
            return "v", (("a(sb)", self.links.get(7, {}).get("SetLinkDomains", [])),)
        if member == "RevertLink":
            self.links.pop(body[0], None)
        else:
            self.links.setdefault(body[0], {})[member] = body[1]
        return None, ()


@pytest.fixture
def bus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    path, config = tmp_path / "bus", tmp_path / "bus.conf"
    config.write_text(BUS.format(path=path))
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", f"unix:path={path}")
    monkeypatch.setattr(resolved_module, "LINK_S", 0.0)
    argv = ["dbus-daemon", "--nofork", f"--config-file={config}", "--print-address"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as daemon:
        assert daemon.stdout is not None
        daemon.stdout.readline()  # it is there
        yield path
        daemon.terminate()


@pytest.fixture
async def resolved(bus: Path) -> AsyncIterator[FakeResolved]:
    resolved = FakeResolved()
    await resolved.start()
    yield resolved
    await resolved.stop()


@pytest.fixture
async def link(bus: Path) -> AsyncIterator[ResolvedLink]:
    link = ResolvedLink()
    yield link
    await link.close()


async def until(condition: Any) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.001)


async def looks_again(resolved: FakeResolved) -> None:
    looked = resolved.looked
    await resolved.changed()
    await until(lambda: resolved.looked > looked)


async def test_it_is_told_to_ask_us_for_our_domains_and_nothing_else(
    resolved: FakeResolved, link: ResolvedLink
) -> None:
    link.set(SETTINGS)
    await until(lambda: link.state)
    assert resolved.links == {
        7: {
            "SetLinkDefaultRoute": False,
            "SetLinkLLMNR": "no",
            "SetLinkDNSOverTLS": "no",
            "SetLinkDNSSEC": "no",
            "SetLinkDomains": [("tox.internal", True), ("1.0.10.in-addr.arpa", True)],
            "SetLinkDNSEx": [(10, IPv6Address("fd74:6f78::1").packed, 53, "")],
        }
    }
    await link.close()
    assert resolved.links == {}


async def test_other_settings_replace_the_first(resolved: FakeResolved, link: ResolvedLink) -> None:
    link.set(SETTINGS)
    await until(lambda: link.state)
    link.set(LinkSettings("toxvpn0", 7, IPv4Address("100.64.1.2"), 5353, ("tox.internal",)))
    await until(lambda: resolved.links[7]["SetLinkDNSEx"] == [(2, bytes([100, 64, 1, 2]), 5353, "")])
    assert resolved.links[7]["SetLinkDomains"] == [("tox.internal", True)]


async def test_a_resolved_that_is_started_again_is_told_again(bus: Path, link: ResolvedLink) -> None:
    link.set(SETTINGS)
    await until(lambda: link.state is False)
    for _ in range(2):
        resolved = FakeResolved()
        await resolved.start()
        await until(lambda: link.state)
        assert 7 in resolved.links
        await resolved.stop()
        await until(lambda: link.state is False)


async def test_settings_that_another_program_took_away_are_put_back(
    resolved: FakeResolved, link: ResolvedLink
) -> None:
    link.set(SETTINGS)
    await until(lambda: link.state)
    for _ in range(resolved_module.REPAIRS_AT_ONCE):
        resolved.links.clear()
        await resolved.changed()
        await until(lambda: "SetLinkDNSEx" in resolved.links.get(7, {}))
    resolved.links.clear()  # once too often: it is no fight
    await looks_again(resolved)
    await looks_again(resolved)
    assert resolved.links == {}


async def test_a_change_that_is_none_of_ours_is_let_be(resolved: FakeResolved, link: ResolvedLink) -> None:
    link.set(SETTINGS)
    await until(lambda: link.state)
    resolved.links[7]["SetLinkDNSEx"] = "untouched"
    await looks_again(resolved)
    await looks_again(resolved)
    assert resolved.links[7]["SetLinkDNSEx"] == "untouched"


async def test_a_link_that_it_does_not_know_yet_is_tried_again(
    resolved: FakeResolved, link: ResolvedLink
) -> None:
    resolved.refusals = [f"{NAME}.NoSuchLink"] * 3
    link.set(SETTINGS)
    await until(lambda: link.state)
    assert len(resolved.links[7]) == 6


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (f"{NAME}.LinkBusy", "systemd-networkd manages that link"),
        ("org.freedesktop.DBus.Error.InteractiveAuthorizationRequired", "this user may not"),
        ("org.freedesktop.DBus.Error.AccessDenied", "sudo resolvectl dns toxvpn0 [fd74:6f78::1]:53"),
        ("org.freedesktop.DBus.Error.InvalidArgs", ": no; sudo resolvectl"),
    ],
)
async def test_a_refusal_is_told_once_with_what_to_do(
    resolved: FakeResolved, link: ResolvedLink, error: str, line: str, caplog: pytest.LogCaptureFixture
) -> None:
    resolved.refusals = [error] * 2
    link.set(SETTINGS)
    await until(lambda: link.state is False)
    await resolved.changed()
    await until(lambda: not resolved.refusals)
    [said] = [each.message for each in caplog.records if each.levelno == logging.WARNING]
    assert line in said


def test_whether_it_is_in_this_network_is_seen_by_our_addresses(tmp_path: Path) -> None:
    (tmp_path / "if_inet6").write_text(
        "00000000000000000000000000000001 01 80 10 80       lo\n"
        "fd746f78000000000000000000000001 1f 80 00 80 toxvpn0\n"
    )
    (tmp_path / "fib_trie").write_text("Local:\n  |-- 100.64.1.2\n     /32 host LOCAL\n")
    assert hears_of(SETTINGS.server, 31, tmp_path)
    assert not hears_of(SETTINGS.server, 30, tmp_path)
    assert not hears_of(IPv6Address("fd74:6f78::2"), 31, tmp_path)
    assert hears_of(IPv4Address("100.64.1.2"), 31, tmp_path)
    assert not hears_of(IPv4Address("100.64.1.22"), 31, tmp_path)
    assert hears_of(SETTINGS.server, 31, tmp_path / "hidden")
    assert hears_of(IPv4Address("127.0.0.1"), 1) and hears_of(IPv6Address("::1"), 1)  # both are there


async def test_without_a_bus_nothing_happens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", f"unix:path={tmp_path}/none")
    link = ResolvedLink()
    link.set(SETTINGS)
    await until(lambda: link.state is False)
    await link.close()
