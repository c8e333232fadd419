"""`toxvpn service`: writing and removing the units, and what can prevent that."""

import os
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from toxvpn.cli import service
from toxvpn.config.file import load
from toxvpn.errors import ToxvpnError


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without systemd at work: `units` and `etc` in a directory of its own."""
    monkeypatch.setattr(service, "UNIT_DIRECTORY", tmp_path / "units")
    monkeypatch.setattr(service, "SERVICE_CONFIG", tmp_path / "etc")
    monkeypatch.setattr(service, "RUNNING_SYSTEMD", tmp_path / "none")
    monkeypatch.setattr(service, "PRIVATE_TMP", ())
    monkeypatch.setattr(service, "installation", list)
    tmp_path.joinpath("units").mkdir()
    return tmp_path


def test_install_writes_units_with_this_installations_path(toxvpn: Any, machine: Path) -> None:
    ran = toxvpn("service", "install")
    assert (ran.code, ran.err) == (0, "")
    assert "toxvpn.service and toxvpn@.service are in" in ran.out and "systemd is not running" in ran.out
    assert f"next: edit {machine}/etc/config.toml, then systemctl enable --now toxvpn" in ran.out
    script = service.program()
    for name in service.UNITS:
        text = machine.joinpath("units", name).read_text()
        assert f"\nExecStart={script} run" in text and f"\nExecReload={script} reload" in text
        assert service.PROGRAM not in text
        assert machine.joinpath("units", name).stat().st_mode & 0o777 == 0o644


def test_a_configuration_to_begin_with_is_good_and_stays_as_it_is_edited(toxvpn: Any, machine: Path) -> None:
    toxvpn("service", "install")
    path = machine / "etc" / "config.toml"
    config = load(path)
    assert config.server is not None and config.vpn is None
    assert path.stat().st_mode & 0o777 == 0o644
    assert machine.joinpath("etc", "secrets").stat().st_mode & 0o777 == 0o700
    path.write_text("[vpn]\n")
    assert toxvpn("service", "install").code == 0
    assert path.read_text() == "[vpn]\n"


def test_a_packages_units_are_not_overridden(
    toxvpn: Any, machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "PACKAGED", machine / "toxvpn.service")
    machine.joinpath("toxvpn.service").touch()
    ran = toxvpn("service", "install")
    assert ran.code == 1 and "run `systemctl enable --now toxvpn`" in ran.err
    assert not any(machine.joinpath("units").iterdir())


def test_a_directory_of_ones_own_is_for_another_unit(toxvpn: Any, machine: Path) -> None:
    for before, after in ((("-C", "here"), ()), ((), ("-b", "nodes.json"))):
        ran = toxvpn(*before, "service", "install", *after)
        assert ran.code == 2 and "for more networks use toxvpn@NAME" in ran.err
    assert not any(machine.joinpath("units").iterdir())


def test_remove_leaves_what_is_the_users(toxvpn: Any, machine: Path) -> None:
    toxvpn("service", "install")
    machine.joinpath("units", "other.service").touch()
    ran = toxvpn("service", "remove")
    assert (ran.code, ran.err) == (0, "")
    assert "; kept " in ran.out and ", with the identity" in ran.out
    assert os.listdir(machine / "units") == ["other.service"]  # noqa: PTH208
    assert machine.joinpath("etc", "config.toml").exists()
    ran = toxvpn("service", "remove")
    assert ran.code == 1 and "the service is not installed" in ran.err


def test_systemd_is_told_where_it_runs(toxvpn: Any, machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "RUNNING_SYSTEMD", machine)
    said: list[list[str]] = []

    def run(argv: list[str], check: bool) -> subprocess.CompletedProcess[str]:
        said.append(argv)
        return subprocess.CompletedProcess(argv, 0)

    monkeypatch.setattr(subprocess, "run", run)
    assert "systemd is not running" not in toxvpn("service", "install").out
    toxvpn("service", "remove")
    assert [" ".join(argv[2:]) for argv in said] == [
        "daemon-reload",
        "stop toxvpn.service toxvpn@*.service",
        "disable toxvpn.service toxvpn@.service",
        "daemon-reload",
    ]


@pytest.mark.parametrize("verb", ["install", "remove"])
def test_who_may_not_is_told_how(
    toxvpn: Any, machine: Path, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    toxvpn("service", "install")

    def refuse(*arguments: object, **more: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    monkeypatch.setattr(Path, "unlink", refuse)
    ran = toxvpn("service", verb)
    assert ran.code == 77
    (line,) = ran.err.splitlines()
    assert f"that needs root (sudo toxvpn service {verb})" in line


# -- where it is installed --------------------------------------------------------------------------

UNIT = "ExecStart=/usr/bin/toxvpn run\nProtectHome=yes\n"


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An installation that can be made as unreadable as one likes; pytest's own directories are private."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as above:
        Path(above).chmod(0o755)
        tree = Path(above, "venv")
        tree.mkdir(mode=0o755)
        monkeypatch.setattr(service, "installation", lambda: [tree])
        monkeypatch.setattr(service, "program", lambda: f"{tree}/bin/toxvpn")
        monkeypatch.setattr(service, "PRIVATE_TMP", ())
        yield tree


def test_one_that_all_can_read_needs_nothing(installed: Path) -> None:
    assert service.adapt_unit(UNIT) == f"ExecStart={installed}/bin/toxvpn run\nProtectHome=yes\n"


def test_one_in_a_home_is_shown_to_the_service_and_nothing_else_of_the_home(
    installed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "HIDDEN", (installed.parent,))
    installed.parent.chmod(0o700)
    assert service.adapt_unit(UNIT) == (
        f"ExecStart={installed}/bin/toxvpn run\n"
        f"ProtectHome=tmpfs\nTemporaryFileSystem=/root:mode=0755\nBindReadOnlyPaths={installed}\n"
    )


@pytest.mark.parametrize("private", ["venv", "above it"])
def test_one_that_only_its_owner_can_read(installed: Path, private: str) -> None:
    place = installed if private == "venv" else installed.parent
    place.chmod(0o700)
    with pytest.raises(ToxvpnError) as caught:
        service.adapt_unit(UNIT)
    assert str(caught.value).startswith(
        f"{place} cannot be read by the service, which has its own user: install"
    )


def test_one_where_services_have_directories_of_their_own(
    installed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "PRIVATE_TMP", (installed.parent,))
    with pytest.raises(ToxvpnError, match="is hidden from services: install toxvpn for all users"):
        service.adapt_unit(UNIT)


def test_one_whose_path_would_need_quoting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "installation", lambda: [Path("/opt/my tools")])
    with pytest.raises(ToxvpnError, match="unusual characters"):
        service.adapt_unit(UNIT)


def test_this_very_installation() -> None:
    trees = service.installation()
    assert Path(sys.prefix) in trees
    assert any(Path(service.__file__).is_relative_to(tree) for tree in trees)
    script = sysconfig.get_path("scripts") + "/toxvpn"
    assert service.program() == (script if Path(script).exists() else f"{sys.executable} -P -m toxvpn")
