"""The flags about the process, for every kind of run: which options they make, and their mistakes."""

from pathlib import Path
from typing import Any

import pytest

from toxvpn.cli import logs
from toxvpn.tox.proxy import Proxy
from toxvpn.wire.toxid import ToxId

ID = str(ToxId(bytes(range(32)), b"\1\2\3\4"))
CLIENT = ("-i", ID, "-L", "8080:localhost:80")
KINDS: list[tuple[str, ...]] = [(), CLIENT, ("up",)]
names = pytest.mark.parametrize("kind", KINDS, ids=["server", "client", "up"])


@names
def test_by_default_nothing_is_changed(toxvpn: Any, kind: tuple[str, ...]) -> None:
    options = toxvpn(*kind).options
    assert (options.daemonize, options.pid_file, options.user, options.proxy) == (False, None, None, None)


@names
def test_every_kind_of_run_takes_them(toxvpn: Any, kind: tuple[str, ...]) -> None:
    ran = toxvpn(*kind, "-z", "-F", "pid", "-U", "nobody", "-S", "--proxy", "socks5://localhost:9050")
    assert (ran.code, ran.err) == (0, "")
    options = ran.options
    assert (options.daemonize, options.pid_file, options.user) == (True, Path("pid"), "nobody")
    assert options.proxy == Proxy("socks5", "localhost", 9050)


# -- the proxy --------------------------------------------------------------------------------------


@names
@pytest.mark.parametrize("name", ["ALL_PROXY", "all_proxy"])
def test_the_environment_may_say_the_proxy(
    toxvpn: Any, monkeypatch: pytest.MonkeyPatch, kind: tuple[str, ...], name: str
) -> None:
    monkeypatch.setenv(name, "http://[::1]:3128/")
    assert toxvpn(*kind).options.proxy == Proxy("http", "::1", 3128)


def test_the_flag_goes_before_the_environment(toxvpn: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "http://a:1")
    assert toxvpn("--proxy", "http://b:2").options.proxy == Proxy("http", "b", 2)


def test_an_empty_variable_means_none(toxvpn: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "")
    assert toxvpn().options.proxy is None


@pytest.mark.parametrize("flag", [("-u", "1:2"), ("-t", "3389")])
@names
def test_ports_of_our_own_and_a_proxy_exclude_each_other(
    toxvpn: Any, flag: tuple[str, str], kind: tuple[str, ...]
) -> None:
    ran = toxvpn(*kind, *flag, "--proxy", "http://b:2")
    assert (ran.code, ran.started) == (2, [])
    assert "http://b:2" in ran.err


def test_no_relay_goes_with_a_proxy(toxvpn: Any) -> None:
    assert toxvpn("-t", "0", "--proxy", "http://b:2").code == 0


def test_a_proxy_of_no_use_in_the_environment_is_not_passed_over(
    toxvpn: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALL_PROXY", "https://b:2")
    ran = toxvpn()
    assert (ran.code, ran.started) == (2, [])
    assert "$ALL_PROXY (unset it to go without)" in ran.err and len(ran.err.splitlines()) == 1


# -- syslog -----------------------------------------------------------------------------------------


def test_an_error_is_told_to_syslog_and_to_the_person(toxvpn: Any, syslog: Any) -> None:
    ran = toxvpn("-S", "--open", "-s", "x")
    assert ran.code == 2
    assert ran.err.startswith("toxvpn: --open lets everybody in")
    warning, error = syslog.records()
    assert warning.startswith("<28>toxvpn[") and "a secret given with -s" in warning  # daemon, warning
    assert error.startswith("<27>toxvpn[") and error.endswith("leave one out")  # daemon, err


def test_the_background_logs_to_syslog_where_there_is_one(
    toxvpn: Any, syslog: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert toxvpn("-z", "-s", "x").err == ""
    assert "a secret given with -s" in syslog.records()[0]
    monkeypatch.setattr(logs, "SYSLOG_SOCKET", tmp_path / "none")
    ran = toxvpn("-z")
    assert ran.code == 0 and ran.options.daemonize
    assert f"no syslog at {tmp_path}/none: in the background nothing will be logged" in ran.err


def test_syslog_that_is_not_there(toxvpn: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(logs, "SYSLOG_SOCKET", tmp_path / "none")
    ran = toxvpn("-S")
    assert (ran.code, ran.started) == (1, [])
    assert ran.err == (f"toxvpn: -S: there is no syslog at {tmp_path}/none: start one, or leave -S out\n")
