"""Becoming another user: whom -U names, and what /proc says of the process afterwards."""

import json
import os
import pwd
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from toxvpn.errors import NoPermissionError, UsageError
from toxvpn.process.privileges import Account, find_account, hand_over
from toxvpn.state.places import find_places
from toxvpn.testing.netns import fork

NOBODY = pwd.getpwnam("nobody")
NUMBER = 54321  # nobody's
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become somebody else")


# -- whom -U names ----------------------------------------------------------------------------------


@as_root
@pytest.mark.parametrize("text", ["nobody", str(NOBODY.pw_uid)])
def test_a_user_by_name_or_number(text: str) -> None:
    account = find_account(text)
    assert account is not None
    assert (account.name, account.uid, account.gid) == ("nobody", NOBODY.pw_uid, NOBODY.pw_gid)
    assert account.groups == tuple(os.getgrouplist("nobody", NOBODY.pw_gid))


@as_root
def test_supplementary_groups_are_the_users_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getgrouplist", lambda name, gid: [gid, 27, 4])
    assert find_account("nobody") == Account(
        "nobody", NOBODY.pw_uid, NOBODY.pw_gid, (65534, 27, 4), NOBODY.pw_dir
    )


@as_root
def test_a_number_that_nobody_has_stands_for_itself() -> None:
    assert find_account(str(NUMBER)) == Account(str(NUMBER), NUMBER, NUMBER, (), "/")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("no-such-user", "-U 'no-such-user': there is no such user; `getent passwd` lists them"),
        ("", "-U '': there is no such user"),
        ("-1", "-U '-1': there is no such user"),
        ("4294967295", "-U '4294967295': there is no such user"),
        ("root", "-U root is root, which would keep every privilege"),
        ("0", "-U 0 is root, which would keep every privilege"),
    ],
)
def test_mistakes(text: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        find_account(text)
    assert str(caught.value).startswith(message)


@as_root
def test_only_root_can_and_nobody_need_not() -> None:
    child = fork()
    if child == 0:
        os.setresuid(NOBODY.pw_uid, NOBODY.pw_uid, NOBODY.pw_uid)
        try:
            assert find_account("nobody") is None  # that is who we are
            find_account(str(NUMBER))
        except NoPermissionError as error:
            os._exit(42 if "only root can become another user" in str(error) else 43)
        finally:
            os._exit(44)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 42


# -- what is left afterwards ------------------------------------------------------------------------

BECOME = """
import json, os, socket, sys
from pathlib import Path
from toxvpn.process.privileges import Account, Capability, become

keep = [Capability[name] for name in sys.argv[1:]]
become(Account("somebody", 54321, 54322, (54323, 54324), "/somewhere"), keep)
status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())

def tried(call, *arguments):
    try:
        call(*arguments)
    except OSError as error:
        return error.errno
    return 0

low = socket.socket()
print(json.dumps({
    "status": {name: value.split() for name, value in status.items()},
    "environment": {name: os.environ[name] for name in ("HOME", "USER", "LOGNAME")},
    "back": [
        tried(os.setuid, 0), tried(os.setresuid, -1, 0, -1), tried(os.setgid, 0), tried(os.setgroups, [0])
    ],
    "low port": tried(low.bind, ("127.0.0.1", 1)),
}))
"""


def become(*keep: str) -> dict[str, Any]:
    ran = subprocess.run([sys.executable, "-c", BECOME, *keep], capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(ran.stdout)
    return found


@as_root
def test_nothing_of_root_is_left_and_there_is_no_way_back() -> None:
    found = become()
    status = found["status"]
    assert status["Uid"] == ["54321"] * 4
    assert status["Gid"] == ["54322"] * 4
    assert status["Groups"] == ["54323", "54324"]
    for kind in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
        assert int(status[kind][0], 16) == 0, kind
    assert status["NoNewPrivs"] == ["1"]
    assert found["environment"] == {"HOME": "/somewhere", "USER": "somebody", "LOGNAME": "somebody"}
    assert all(found["back"])
    assert found["low port"] != 0


@as_root
def test_what_the_run_needs_is_kept_and_nothing_else() -> None:
    found = become("NET_ADMIN", "NET_BIND_SERVICE")
    for kind in ("CapPrm", "CapEff"):
        assert int(found["status"][kind][0], 16) == 1 << 12 | 1 << 10, kind
    for kind in ("CapInh", "CapAmb"):
        assert int(found["status"][kind][0], 16) == 0, kind
    assert all(found["back"])
    assert found["low port"] == 0


DROP = """
import json, os, subprocess, sys
from pathlib import Path
from toxvpn.process.privileges import drop_privileges
from toxvpn.linux import Capability

before = Path("/proc/self/status").read_text()
keep = [Capability[name] for name in sys.argv[1:]]
drop_privileges(keep)
drop_privileges(keep)
after = Path("/proc/self/status").read_text()
started = subprocess.run(["cat", "/proc/self/status"], capture_output=True, text=True).stdout
print(json.dumps([
    {name: value.split() for name, _, value in (line.partition(":") for line in text.splitlines())}
    for text in (before, after, started)
]))
"""


@as_root
@pytest.mark.parametrize(("keep", "bits"), [((), 0), (("NET_ADMIN",), 1 << 12)])
def test_root_stays_root_with_nothing_but_what_the_run_needs(keep: tuple[str, ...], bits: int) -> None:
    ran = subprocess.run([sys.executable, "-c", DROP, *keep], capture_output=True, text=True, check=True)
    before, after, started = json.loads(ran.stdout)
    assert int(before["CapEff"][0], 16) & 1 << 21  # SYS_ADMIN
    for status in (after, started):  # what it starts has no more, though it is root's
        assert status["Uid"] == ["0"] * 4
        assert int(status["CapEff"][0], 16) == int(status["CapPrm"][0], 16) == bits
        assert int(status["CapInh"][0], 16) == int(status["CapAmb"][0], 16) == 0
        assert status["NoNewPrivs"] == ["1"]


# -- the directories --------------------------------------------------------------------------------


@as_root
def test_a_missing_directory_is_made_for_the_user(tmp_path: Path) -> None:
    account = Account("somebody", NUMBER, NUMBER, (), "/")
    directory = tmp_path / "new"
    for _ in range(2):
        hand_over(account, directory)
        found = directory.stat()
        assert (found.st_uid, found.st_gid, found.st_mode & 0o777) == (NUMBER, NUMBER, 0o700)


@as_root
def test_a_directory_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    with pytest.raises(NoPermissionError) as caught:
        hand_over(Account("somebody", NUMBER, NUMBER, (), "/"), tmp_path)
    assert str(caught.value).endswith(f"belongs to another user: run chown -R somebody {tmp_path}")
    assert tmp_path.stat().st_uid == 0


@as_root
def test_without_one_it_is_the_services_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SERVICE_DATA", "SERVICE_RUNTIME"):
        monkeypatch.setattr(f"toxvpn.state.places.{name}", tmp_path / name)
    monkeypatch.setenv("TOXVPN_SERVICE", "")
    hand_over(Account("somebody", NUMBER, NUMBER, (), "/"), None)
    assert [place.stat().st_uid for place in tmp_path.iterdir()] == [NUMBER, NUMBER]
    monkeypatch.setattr(os, "geteuid", lambda: NUMBER)
    assert find_places().data == tmp_path / "SERVICE_DATA"
