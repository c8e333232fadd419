import contextlib
import grp
import os
import pwd
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from toxvpn.errors import ConfigError, NoPermissionError, ToxvpnError
from toxvpn.state.places import find_config, find_places, find_runtime, make, make_for

XDG = {
    "config": "XDG_CONFIG_HOME",
    "data": "XDG_DATA_HOME",
    "state": "XDG_STATE_HOME",
    "runtime": "XDG_RUNTIME_DIR",
}


@pytest.fixture
def no_xdg(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    for name in XDG.values():
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def test_a_given_directory_overrides_everything(tmp_path: Path) -> None:
    found = find_places(tmp_path, service=True)
    assert {found.config, found.data, found.state, found.runtime} == {tmp_path}


def test_a_relative_directory_survives_a_change_of_directory(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_places(Path("here")).data == tmp_path / "here"


def test_the_service_has_its_places() -> None:
    found = find_places(service=True)
    assert (str(found.config), str(found.data), str(found.runtime)) == (
        "/etc/toxvpn",
        "/var/lib/toxvpn",
        "/run/toxvpn",
    )


@pytest.mark.parametrize(("uid", "data"), [(0, "/var/lib/toxvpn"), (1000, "{home}/.local/share/toxvpn")])
def test_root_is_the_service_and_others_are_not(
    no_xdg: Path, monkeypatch: pytest.MonkeyPatch, uid: int, data: str
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: uid)
    assert str(find_places().data) == data.format(home=no_xdg)


@pytest.mark.parametrize("find", [find_places, find_config])
def test_a_user_without_a_home_directory(
    no_xdg: Path, monkeypatch: pytest.MonkeyPatch, find: Callable[[], object]
) -> None:
    """As in a container that runs under a number."""
    monkeypatch.delenv("HOME")
    uid = 2**31 - 7  # in no passwd
    for name in ("getuid", "geteuid"):
        monkeypatch.setattr(os, name, lambda: uid)
    with pytest.raises(ConfigError, match=f"user {uid} has no home directory: set HOME, or choose"):
        find()


def test_an_older_library_that_leaves_the_tilde_in(no_xdg: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platformdirs.user_data_path", lambda *_, **__: Path("~/.local/share/toxvpn"))
    with pytest.raises(ConfigError, match="has no home directory"):
        find_places(service=False)


def test_the_xdg_variables_are_followed(no_xdg: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for place, name in XDG.items():
        (no_xdg / place).mkdir(0o700)
        monkeypatch.setenv(name, str(no_xdg / place))
    found = find_places(service=False)
    for place in XDG:
        assert getattr(found, place) == no_xdg / place / "toxvpn"


@pytest.mark.parametrize("value", [None, "relative", "/nonexistent/run"])
def test_without_a_usable_runtime_directory_the_state_directory_serves(
    no_xdg: Path, monkeypatch: pytest.MonkeyPatch, value: str | None
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 4242)  # has no /run/user
    if value is not None:
        monkeypatch.setenv("XDG_RUNTIME_DIR", value)
    assert find_places(service=False).runtime == no_xdg / ".local/state/toxvpn/run/toxvpn"


@pytest.mark.parametrize("uid", [0, 1000, 4242])
@pytest.mark.parametrize("usual", [True, False])
def test_the_runtime_directory_is_found_alone_too(
    no_xdg: Path, monkeypatch: pytest.MonkeyPatch, uid: int, usual: bool
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: uid)
    if usual:
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(no_xdg))
    assert find_runtime() == find_places().runtime
    assert find_runtime(no_xdg / "kept") == no_xdg / "kept"


@pytest.mark.parametrize("uid", [0, 1000])
@pytest.mark.parametrize("value", [None, "", "/else/where"])
def test_the_configuration_is_found_in_a_hurry(
    no_xdg: Path, monkeypatch: pytest.MonkeyPatch, uid: int, value: str | None
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: uid)
    if value is not None:
        monkeypatch.setenv("XDG_CONFIG_HOME", value)
    assert find_config() == find_places().config
    assert find_config(no_xdg / "kept") == no_xdg / "kept"


def test_directories_are_private_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        make(tmp_path / "a" / "b")
    finally:
        os.umask(before)
    for made in (tmp_path / "a", tmp_path / "a" / "b"):
        assert stat.S_IMODE(made.stat().st_mode) == 0o700


def test_making_twice_is_harmless_and_leaves_the_mode_alone(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    assert make(tmp_path) == tmp_path
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755


def test_a_file_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    for path in (tmp_path / "taken", tmp_path / "taken" / "below"):
        with pytest.raises(ConfigError, match=r"taken.*Not a directory"):
            make(path)


def test_a_directory_that_cannot_be_made_says_what_to_do() -> None:
    with pytest.raises(ToxvpnError, match="cannot use /proc/toxvpn"):
        make(Path("/proc/toxvpn"))


def test_another_users_directory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if os.geteuid() == 0:
        os.chown(tmp_path, 4243, 4243)
    monkeypatch.setattr(os, "geteuid", lambda: 4242)
    with pytest.raises(NoPermissionError, match="-C DIR"):
        make(tmp_path)


def test_root_may_use_anybodys_directory(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    os.chown(tmp_path, 4243, 4243)
    make(tmp_path)


@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o770, 0o722])
def test_a_directory_that_others_can_write_to_is_refused_with_what_to_do(tmp_path: Path, mode: int) -> None:
    if os.geteuid() == 0:
        os.chown(tmp_path, 0, 4243)
    tmp_path.chmod(mode)
    with pytest.raises(
        ConfigError, match=rf"users can write to it \(mode {mode:o}\).*; run `chmod go-w {tmp_path}"
    ):
        make(tmp_path)
    tmp_path.chmod(mode & ~0o022)
    make(tmp_path)


@pytest.mark.parametrize(
    ("name", "members", "private"),
    [("alice", [], True), ("alice", ["alice"], True), ("alice", ["bob"], False), ("staff", [], False)],
)
def test_a_group_of_its_owner_alone_is_nobody_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, members: list[str], private: bool
) -> None:
    """Where each user has one, the umask is 002 often enough."""
    found = tmp_path.stat()
    user = pwd.struct_passwd(("alice", "x", found.st_uid, found.st_gid, "", "/", "/bin/sh"))
    monkeypatch.setattr(pwd, "getpwuid", lambda uid: user)
    monkeypatch.setattr(grp, "getgrgid", lambda gid: grp.struct_group((name, "x", gid, members)))
    tmp_path.chmod(0o775)
    if private:
        make(tmp_path)
    else:
        with pytest.raises(ConfigError, match="other users can write"):
            make(tmp_path)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, for two users")
class TestForAnotherUser:
    def test_a_new_directory_is_that_users(self, tmp_path: Path) -> None:
        make_for(tmp_path / "new", 4242, 4243)
        found = (tmp_path / "new").stat()
        assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (4242, 4243, 0o700)

    def test_what_is_there_already_stays_as_it_is(self, tmp_path: Path) -> None:
        (tmp_path / "roots").mkdir()
        (tmp_path / "link").symlink_to("roots")
        for name in ("roots", "link"):
            make_for(tmp_path / name, 4242, 4242)
        assert (tmp_path / "roots").stat().st_uid == 0

    @pytest.mark.parametrize("plant", ["link", "full"])
    def test_what_the_owner_of_the_parent_puts_in_its_place_is_not_given_away(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, plant: str
    ) -> None:
        """Between our making it and our giving it away."""
        roots = tmp_path / "roots"
        roots.mkdir()
        (roots / "file").touch()
        really = os.mkdir

        def mkdir(*arguments: Any, **keywords: Any) -> None:
            really(*arguments, **keywords)
            (tmp_path / "new").rmdir()
            (tmp_path / "new").symlink_to("roots") if plant == "link" else roots.rename(tmp_path / "new")

        monkeypatch.setattr(os, "mkdir", mkdir)
        with contextlib.suppress(OSError):
            make_for(tmp_path / "new", 4242, 4242)
        assert (tmp_path / "new").stat().st_uid == 0
        assert (tmp_path / "new" / "file").exists()
