"""The record of where peers were."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from toxvpn.tox.reach import met
from toxvpn.tox.reach.met import DAY_S, KEPT_S, MET_NAME, MOST_PEERS, Met, MetBook
from toxvpn.wire.reach.introduction import NodeAt

KEY = bytes(range(32))
NOW_S = 1.7e9
THERE = Met(
    bytes(32),
    (("192.0.2.1", 33445), ("2001:db8::1", 33446)),
    (NodeAt("192.0.2.9", 443, bytes(32), relay=True),),
    NOW_S,
)


def key(number: int) -> bytes:
    return number.to_bytes(32, "big")


def saved(directory: Path, *peers: tuple[bytes, Met]) -> Path:
    MetBook(peers).snapshot().save(directory)
    return directory / MET_NAME


def test_what_is_saved_is_loaded_and_nobody_else_may_read_it(tmp_path: Path) -> None:
    path = saved(tmp_path, (KEY, THERE))
    assert met.load(tmp_path, NOW_S).get(KEY) == THERE
    assert path.stat().st_mode & 0o777 == 0o600


def test_without_a_file_nobody_was_met(tmp_path: Path) -> None:
    assert met.load(tmp_path, NOW_S).latest() == []


def test_what_is_old_is_forgotten(tmp_path: Path) -> None:
    saved(tmp_path, (KEY, THERE), (key(2), replace(THERE, seen_s=NOW_S + DAY_S)))
    assert met.load(tmp_path, NOW_S + KEPT_S).latest() == [key(2)]


@pytest.mark.parametrize("seen", [NOW_S + 2 * KEPT_S, float("inf"), float("nan")])
def test_what_a_wrong_clock_or_a_damaged_file_dates_is_forgotten(tmp_path: Path, seen: float) -> None:
    """Else it would stay for ever, or nothing could be saved any more."""
    path = saved(tmp_path, (KEY, THERE))
    path.write_text(path.read_text().replace(f"{NOW_S:.0f}", json.dumps(seen)))
    book = met.load(tmp_path, NOW_S)
    assert book.latest() == []
    book.snapshot().save(tmp_path)


def test_the_record_is_bounded_and_keeps_those_met_last() -> None:
    book = MetBook()
    for number in range(MOST_PEERS + 3):
        assert book.note(key(number), THERE)
    assert len(book.latest()) == MOST_PEERS
    assert book.latest()[0] == key(MOST_PEERS + 2)
    book = MetBook((key(number), replace(THERE, seen_s=number)) for number in range(MOST_PEERS + 3))
    assert book.latest()[-1] == key(3)


def test_what_is_the_same_on_the_same_day_is_not_new() -> None:
    book = MetBook()
    assert book.note(KEY, THERE)
    assert not book.note(KEY, replace(THERE, seen_s=NOW_S + DAY_S / 2))
    assert book.note(KEY, replace(THERE, seen_s=NOW_S + DAY_S))
    assert book.note(KEY, replace(THERE, places=()))


def test_a_snapshot_does_not_change_any_more(tmp_path: Path) -> None:
    book = MetBook([(KEY, THERE)])
    snapshot = book.snapshot()
    book.note(key(2), THERE)
    snapshot.save(tmp_path)
    assert met.load(tmp_path, NOW_S).latest() == [KEY]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("dht_key", "00"),
        ("places", [["example.org", 1]]),
        ("places", [["192.0.2.1", 0]]),
        ("places", 1),
        ("relays", [["192.0.2.1", 1]]),
        ("seen", None),
    ],
)
def test_a_damaged_entry_is_left_out(tmp_path: Path, field: str, value: object) -> None:
    path = saved(tmp_path, (KEY, THERE), (key(2), THERE))
    document = json.loads(path.read_text())
    document["peers"][KEY.hex().upper()][field] = value
    path.write_text(json.dumps(document))
    assert met.load(tmp_path, NOW_S).latest() == [key(2)]


def test_a_damaged_file_is_set_aside(tmp_path: Path) -> None:
    (tmp_path / MET_NAME).write_text("{")
    (tmp_path / MET_NAME).chmod(0o600)
    assert met.load(tmp_path, NOW_S).latest() == []
    assert (tmp_path / f"{MET_NAME}.bad").exists()
