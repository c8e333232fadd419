"""The runs with peers from their start to a reload, in this process."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from toxvpn.config.flags import DaemonOptions
from toxvpn.control.client import call as ask
from toxvpn.daemon.daemon import serve
from toxvpn.errors import ConfigError, UsageError
from toxvpn.process.lifecycle import Lifecycle
from toxvpn.testing.fake_nodes import until
from toxvpn.testing.options import run_options, server_options

Start = Callable[[DaemonOptions], "asyncio.Task[None]"]


@pytest.fixture
def start(runs: Any, directory: Path, lifecycle: Lifecycle) -> Start:
    def start(options: DaemonOptions) -> "asyncio.Task[None]":
        running: asyncio.Task[None] = runs(serve(options, lifecycle))
        return running

    return start


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "config.toml").write_text("[server]\n")
    return tmp_path


async def serves(directory: Path, running: "asyncio.Task[None]") -> None:
    await until(lambda: (directory / "control.sock").exists() or running.done())
    if running.done():
        running.result()


async def reload(directory: Path) -> Any:
    return await asyncio.to_thread(ask, directory, "reload")


async def test_run(start: Start, directory: Path, nodes_file: Path) -> None:
    file = directory / "config.toml"
    await serves(directory, start(run_options(directory=directory, nodes_file=nodes_file, config_file=file)))
    assert await reload(directory) == []
    file.write_text(f'[server]\nallow = []\n[peers.box]\nid = "{"07" * 32}"')
    assert await reload(directory) == ["peer box added", "[server] changed"]
    file.write_text("[sever]")
    with pytest.raises(ConfigError, match="did you mean 'server'"):
        await reload(directory)
    status = await asyncio.to_thread(ask, directory, "status")
    assert [peer["name"] for peer in status["peers"]] == ["box"], "a mistake changes nothing"


async def test_another_user_reads_the_configuration_with_its_own_home_and_permissions(
    start: Start, directory: Path, nodes_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command line reads it as root, for whom a file of a user can only name that user's secrets."""
    home = directory / "home"
    home.mkdir()
    (home / "secret").touch(0o600)
    (home / "secret").write_text("a secret of that user's")
    file = directory / "config.toml"
    file.write_text('[server]\nsecret_file = "~/secret"\n')
    options = run_options(directory=directory, nodes_file=nodes_file, config_file=file, user="service")
    options = replace(options, config=replace(options.config, owner=4242))
    monkeypatch.setenv("HOME", str(home))  # as process/privileges.py does
    await serves(directory, start(options))
    assert await reload(directory) == []


@pytest.mark.parametrize("flag", ["config_file", "rules_file"])
async def test_another_user_cannot_start_with_files_that_it_cannot_read_again(
    start: Start, directory: Path, nodes_file: Path, flag: str
) -> None:
    file = directory / "file"
    file.touch()
    options = server_options(directory=directory, nodes_file=nodes_file, user="service", **{flag: file})
    file.unlink()
    with pytest.raises(ConfigError, match="cannot be read"):
        await asyncio.wait_for(start(options), 5)


async def test_a_server_reads_the_rules_of_f_again(start: Start, directory: Path, nodes_file: Path) -> None:
    rules = directory / "rules"
    rules.write_text("localhost:22\n")
    options = server_options(directory=directory, nodes_file=nodes_file, rules_file=rules)
    await serves(directory, start(options))
    assert await reload(directory) == []
    rules.write_text("localhost:80\n")
    assert await reload(directory) == ["[server] changed"]
    rules.write_text("localhost\n")
    with pytest.raises(ConfigError, match="rules:1"):
        await reload(directory)


async def test_a_server_without_files_has_nothing_to_reload(
    start: Start, directory: Path, nodes_file: Path
) -> None:
    await serves(directory, start(server_options(directory=directory, nodes_file=nodes_file)))
    with pytest.raises(UsageError, match="nothing to read again"):
        await reload(directory)


@pytest.mark.parametrize("configured", [True, False])
async def test_a_signal_reloads_where_there_is_something_to_read(
    start: Start,
    directory: Path,
    nodes_file: Path,
    configured: bool,
    lifecycle: Lifecycle,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "toxvpn")
    file = directory / "config.toml" if configured else None
    await serves(
        directory, start(server_options(directory=directory, nodes_file=nodes_file, config_file=file))
    )
    assert lifecycle.can_reload is configured
    (directory / "config.toml").write_text("[server]\nallow = []\n")
    lifecycle.reload()
    assert ("reload: [server] changed" in caplog.text) is configured
    lifecycle.close()
