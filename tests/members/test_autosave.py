"""When identity and friends are written: with a loop whose time the test decides on."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from toxvpn.errors import ToxvpnError
from toxvpn.members import friends
from toxvpn.members.autosave import PERIOD_S, SOON_S, Autosave
from toxvpn.members.friends import Authority, FriendBook, Grant


class Timers:
    """The one thing that a autosave wants of a loop."""

    def __init__(self) -> None:
        self.now = 0.0
        self.planned: dict[object, tuple[float, Callable[[], None]]] = {}

    def call_later(self, delay_s: float, function: Callable[[], None]) -> SimpleNamespace:
        handle = object()
        self.planned[handle] = self.now + delay_s, function
        return SimpleNamespace(cancel=lambda: self.planned.pop(handle, None))

    def advance(self, seconds: float) -> None:
        end = self.now + seconds
        while due := [handle for handle, (when, _) in self.planned.items() if when <= end]:
            handle = min(due, key=lambda handle: self.planned[handle][0])
            self.now, function = self.planned.pop(handle)
            function()
        self.now = end


@pytest.fixture
def timers(monkeypatch: pytest.MonkeyPatch) -> Timers:
    timers = Timers()
    monkeypatch.setattr(asyncio, "get_running_loop", lambda: timers)
    return timers


class AtOnce(Executor):
    """Instead of a thread."""

    def submit(self, work: Any, /, *arguments: Any, **named: Any) -> Future[Any]:
        done: Future[Any] = Future()
        done.set_result(work(*arguments, **named))
        return done


class Kept:
    """An identity and a node in one; `saved` is what was written, and `failure` what writing raises."""

    def __init__(self, directory: Path | None, writer: Executor | None = None) -> None:
        self.saved: list[bytes] = []
        self.failure: Exception | None = None
        self.waits: Callable[[], object] = lambda: None
        self.book = FriendBook()
        self.peers: list[SimpleNamespace] = []
        self.tox = SimpleNamespace(savedata=lambda: b"savedata")
        self.autosave = Autosave(cast(Any, self), cast(Any, self), self.book, directory, writer or AtOnce())

    def __iter__(self) -> Iterator[SimpleNamespace]:
        """As a node: its peers."""
        return iter(self.peers)

    def save(self, data: bytes) -> None:
        self.waits()
        if self.failure:
            raise self.failure
        self.saved.append(data)


def test_a_change_is_written_soon_with_the_record(timers: Timers, tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    kept.autosave.changed()
    assert kept.saved == []
    timers.advance(SOON_S)
    assert kept.saved == [b"savedata"]
    assert tmp_path.joinpath(friends.FRIENDS_NAME).exists()


def test_changes_that_follow_each_other_are_written_together_and_not_put_off(
    timers: Timers, tmp_path: Path
) -> None:
    kept = Kept(tmp_path)
    for _ in range(10):
        kept.autosave.changed()
        timers.advance(SOON_S / 4)
    assert len(kept.saved) == 2  # after SOON_S, and again after as long; the last two wait
    timers.advance(SOON_S)
    assert len(kept.saved) == 3


def test_without_a_change_it_is_written_now_and_then(timers: Timers, tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    timers.advance(2.5 * PERIOD_S)
    assert len(kept.saved) == 2


def test_the_end_writes_at_once_and_no_more_after_it(timers: Timers, tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    kept.autosave.changed()
    kept.autosave.close()
    timers.advance(2 * PERIOD_S)
    assert len(kept.saved) == 1


def test_a_passing_identity_is_not_written(timers: Timers) -> None:
    kept = Kept(None)
    kept.autosave.changed()
    timers.advance(SOON_S)
    kept.autosave.close()
    assert kept.saved == []


@pytest.mark.parametrize(
    "failure",
    [ToxvpnError("cannot write tox_save: No space left on device"), OSError(28, "No space left on device")],
    ids=["told", "unexpected"],
)
def test_a_full_disk_is_told_and_tried_again(
    timers: Timers, tmp_path: Path, caplog: pytest.LogCaptureFixture, failure: Exception
) -> None:
    kept = Kept(tmp_path)
    kept.failure = failure
    kept.autosave.changed()
    timers.advance(SOON_S)
    assert "No space left" in caplog.text
    kept.failure = None
    timers.advance(PERIOD_S)
    assert kept.saved == [b"savedata"]


def test_a_slow_disk_holds_nothing_up_and_the_end_waits_for_it(timers: Timers, tmp_path: Path) -> None:
    kept = Kept(tmp_path, ThreadPoolExecutor(1))
    disk = threading.Event()
    kept.waits = lambda: disk.wait(10)
    kept.autosave.changed()
    timers.advance(SOON_S)  # returns, though nothing is written yet
    assert kept.saved == []
    kept.autosave.changed()
    timers.advance(20 * SOON_S)  # and nothing piles up meanwhile
    kept.book.authorise(bytes(32), Grant.OPEN, 0)
    disk.set()
    kept.autosave.close()
    assert len(kept.saved) == 2
    assert set(friends.load(tmp_path)) == {bytes(32)}


def test_a_record_that_has_not_changed_is_not_written_again(
    timers: Timers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[bytes] = []
    monkeypatch.setattr(friends, "write_atomic", lambda path, data: written.append(data))
    kept = Kept(tmp_path)
    kept.autosave.changed()
    timers.advance(SOON_S)
    timers.advance(2 * PERIOD_S)
    assert len(written) == 1 and len(kept.saved) == 3
    kept.book.authorise(bytes(32), Grant.OPEN, 0)
    timers.advance(PERIOD_S)
    assert len(written) == 2


def test_who_is_online_for_weeks_was_seen_lately(timers: Timers, tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    here, away = bytes(32), bytes([1]) * 32
    for key, online in ((here, True), (away, False)):
        kept.book.authorise(key, Grant.OPEN, time.time() - 15 * friends.DAY_S)
        kept.peers.append(SimpleNamespace(public_key=key, online=online))
    kept.autosave.close()
    found = friends.load(tmp_path)
    assert found.settle(Authority(open=True), time.time()) == {away}


def test_an_older_record_does_not_replace_a_newer_one(tmp_path: Path) -> None:
    """As when `peer remove` writes while the thread has what was before."""
    book = FriendBook()
    book.authorise(bytes(32), Grant.ACCEPT, 0)
    before = friends.Snapshot(book)
    book.forget(bytes(32))
    friends.save(tmp_path, book)
    before.save(tmp_path)
    assert set(friends.load(tmp_path)) == set()
