"""What a program loads stays in memory as long as it runs, and is a part of its start: who loads what.

The modules named here are the large ones: pyroute2 has 160, and takes 11 MB and 0.1 s.
"""

import subprocess

import pytest

from toxvpn.interpreter import command_line

PRINT = "print(*sys.modules)"
LIBRARIES = {"dns", "jeepney", "netifaces", "prometheus_client", "pyroute2", "rich", "segno"}
NOT_FOR_A_HELPER = LIBRARIES | {"asyncio", "click", "dataclasses", "inspect", "logging", "ssl"}


def loaded_by(code: str, flags: str = "-IS") -> set[str]:
    """The modules of a fresh interpreter after `code`."""
    done = subprocess.run(
        command_line(f"{code}; {PRINT}", [], flags), stdout=subprocess.PIPE, text=True, check=True
    )
    return set(done.stdout.split())


@pytest.mark.parametrize(
    ("module", "not_even"),
    [
        ("tcpforward.fast.helper", {"pathlib", "subprocess", "typing"}),
        ("usernet.helper", set()),
        ("usernet.watcher", set()),
    ],
)
def test_a_helper_that_stays_is_small(module: str, not_even: set[str]) -> None:
    assert not loaded_by(f"import toxvpn.{module}") & (NOT_FOR_A_HELPER | not_even)


@pytest.mark.parametrize("run", ["client", "daemon"])
def test_a_run_without_vpn_needs_none_of_the_large_libraries(run: str) -> None:
    assert not loaded_by(f"import toxvpn.cli.main, toxvpn.daemon.{run}") & LIBRARIES


def test_a_run_does_without_tls_and_statistics() -> None:
    loaded = loaded_by(
        "from toxvpn.process.lean import load_asyncio; load_asyncio(); "
        "import toxvpn.daemon.daemon, toxvpn.daemon.client"
    )
    assert "asyncio.selector_events" in loaded
    assert not loaded & {"_ssl", "decimal", "toxvpn.tun.vpn"}


def test_tls_is_there_for_who_wants_it() -> None:
    assert "_ssl" in loaded_by("from toxvpn.process.lean import load_asyncio; load_asyncio(); import ssl")


def test_the_command_line_loads_little_before_it_knows_what_to_do() -> None:
    not_yet = {"asyncio", "_ssl", "toxvpn._native", "toxvpn.config.options", "toxvpn.members", "toxvpn.tox"}
    assert not loaded_by("import toxvpn.cli.main") & not_yet


def test_a_vpn_needs_a_part_of_them() -> None:
    loaded = loaded_by(
        "from pathlib import Path; from toxvpn.daemon import services; from toxvpn.config.file import parse; "
        "services.load(parse('[vpn]', Path('config.toml')))"
    )
    assert loaded >= {"pyroute2", "netifaces", "toxvpn.tun.vpn"}
    assert not loaded & {"pyroute2.ndb", "rich", "prometheus_client"}


def test_a_vpn_is_loaded_before_the_user_of_the_run_takes_over() -> None:
    """Who may not be able to read the program; a reload may turn names on."""
    loaded = loaded_by(
        "from pathlib import Path; from types import SimpleNamespace as Some; from toxvpn import daemon; "
        "from toxvpn.process import needs, run; from toxvpn.config.file import parse; "
        "needs.needs = run.run = lambda *_: 0; config = parse('[vpn]\\nname = \"\"', Path('config.toml')); "
        "daemon.run_daemon(Some(config=config, source=Some(kind=None), user='nobody', user_network=()))"
    )
    needed = {"daemon.names", "daemon.user_network", "daemon.user_router", "names.keeper", "report.metrics"}
    assert {f"toxvpn.{each}" for each in needed | {"tun.exit.names", "tun.vpn"}} <= loaded


def test_a_client_has_loaded_all_of_it_before_another_user_takes_over() -> None:
    loaded = loaded_by(
        "from types import SimpleNamespace as Some; from unittest.mock import Mock; "
        "from toxvpn import daemon; from toxvpn.process import needs, run; "
        "from toxvpn.share import command, rendezvous; "
        "needs.needs = run.run = lambda *_: 0; command.run = Mock(side_effect=rendezvous.NotSharedError); "
        "daemon.run_client(Some(user='nobody'))"
    )
    needed = {"control.status_reader", "daemon.control", "daemon.measured", "report.metrics"}
    assert {f"toxvpn.{each}" for each in needed} <= loaded


def test_a_large_library_would_be_noticed() -> None:
    assert loaded_by("import pyroute2") >= {"pyroute2", "asyncio"}
