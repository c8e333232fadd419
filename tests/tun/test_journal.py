import json
from pathlib import Path

import pytest

from toxvpn.errors import ToxvpnError
from toxvpn.tun.changes import (
    AddressAdded,
    Change,
    Interface,
    LinkSet,
    LinkUp,
    RouteAdded,
    RuleAdded,
    SysctlSet,
    from_json,
    to_json,
)
from toxvpn.tun.journal import Journal, NetworkBusyError

TOX0 = Interface("tox0", 7)
CHANGES: list[Change] = [
    AddressAdded(TOX0, "100.64.3.2/32"),
    RouteAdded(TOX0, "10.0.0.0/8", "192.168.1.1", 5000, 7, "100.64.3.2"),
    RuleAdded(5000, 5000, "100.64.3.2/32", 116),
    LinkSet(TOX0, "mtu", 1368, 1500),
    LinkUp(TOX0),
    SysctlSet("net/ipv4/ip_forward", "1", "0"),
]


def written(path: Path) -> None:
    """What a killed process leaves: the file, with the lock let go by the kernel."""
    journal = Journal(path)
    for change in CHANGES:
        journal.add(change)
    journal.close()


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.kind)
def test_changes_survive_as_json(change: Change) -> None:
    assert from_json(json.loads(json.dumps(to_json(change)))) == change


def test_the_next_start_finds_what_was_left(tmp_path: Path) -> None:
    written(tmp_path / "journal")
    journal = Journal(tmp_path / "journal")
    assert journal.changes == CHANGES
    journal.close()


def test_only_one_holds_it(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal")
    journal.add(LinkUp(TOX0))
    with pytest.raises(NetworkBusyError, match="up already by process"):
        Journal(tmp_path / "journal")
    journal.close()
    Journal(tmp_path / "journal").close()


@pytest.mark.parametrize(
    ("field", "value"),
    [("boot_id", "another boot"), ("netns", [4, 4026531840]), ("version", 2)],
)
def test_what_speaks_of_another_network_is_not_undone(tmp_path: Path, field: str, value: object) -> None:
    path = tmp_path / "journal"
    written(path)
    path.write_text(json.dumps(json.loads(path.read_text()) | {field: value}))
    journal = Journal(path)
    assert journal.changes == []
    journal.close()


@pytest.mark.parametrize("damage", ["", "{", "[]", '"text"'])
def test_damaged_files_are_not_fatal(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "journal"
    path.write_text(damage)
    journal = Journal(path)
    assert journal.changes == []
    journal.close()


@pytest.mark.parametrize("record", [{"kind": "magic"}, {"kind": "link"}, {"kind": "link", "x": 1}, 7])
def test_records_of_an_unknown_kind_are_not_fatal(tmp_path: Path, record: object) -> None:
    path = tmp_path / "journal"
    written(path)
    path.write_text(json.dumps(json.loads(path.read_text()) | {"changes": [record]}))
    journal = Journal(path)
    assert journal.changes == []
    journal.close()


def test_a_missing_folder_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ToxvpnError, match="cannot be written: No such file"):
        Journal(tmp_path / "missing" / "journal")
