"""One holder at a time, who is named, and whose file may be removed meanwhile."""

import os
import threading
from pathlib import Path

import pytest

from toxvpn.state import lock

SERVICE = 54321


def test_the_second_learns_who_holds_it(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    held = lock.take(path)
    with pytest.raises(lock.LockHeldError) as nameless:
        lock.take(path)
    lock.write_pid(held)
    with pytest.raises(lock.LockHeldError) as named:
        lock.take(path)
    os.close(held)
    os.close(lock.take(path))
    assert (nameless.value.holder, named.value.holder) == ("", str(os.getpid()))


def test_a_shorter_process_id_leaves_nothing_of_the_longer_one(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    path.write_text("4194304000\n")
    held = lock.take(path)
    lock.write_pid(held)
    os.close(held)
    assert path.read_text() == f"{os.getpid()}\n"


def test_who_may_wait_gets_the_new_file_when_the_holder_removes_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    held = lock.take(path)
    got: list[int] = []
    waiting = threading.Thread(target=lambda: got.append(lock.take(path, wait=True)))
    waiting.start()
    path.unlink()
    os.close(held)
    waiting.join(10)
    assert os.path.samestat(os.fstat(got[0]), path.stat())
    os.close(got[0])


def test_no_program_that_we_start_inherits_it(tmp_path: Path) -> None:
    held = lock.take(tmp_path / "lock")
    assert not os.get_inheritable(held)
    os.close(held)


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "lock").symlink_to(tmp_path / "victim")
    with pytest.raises(Exception, match="link"):
        lock.take(tmp_path / "lock")
    assert not (tmp_path / "victim").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, for two users")
def test_what_root_makes_for_a_service_is_the_services_unless_it_must_not_be(tmp_path: Path) -> None:
    os.chown(tmp_path, SERVICE, SERVICE)
    os.close(lock.take(tmp_path / "theirs"))
    os.close(lock.take(tmp_path / "ours", give=False))
    assert ((tmp_path / "theirs").stat().st_uid, (tmp_path / "ours").stat().st_uid) == (SERVICE, 0)
