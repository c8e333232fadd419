import json
import os
from pathlib import Path

import pytest

from toxvpn.errors import ToxvpnError
from toxvpn.tun.host.changes import (
    AddressAdded,
    Change,
    Interface,
    LinkSet,
    LinkUp,
    NftTable,
    RouteAdded,
    RuleAdded,
    SysctlSet,
    UnreachableAdded,
    from_json,
    read_sysctl,
    to_json,
)
from toxvpn.tun.host.journal import Journal, NetworkBusyError

TOX0 = Interface("tox0", 7)
CHANGES: list[Change] = [
    AddressAdded(TOX0, "100.64.3.2/32"),
    RouteAdded(TOX0, "10.0.0.0/8", "192.168.1.1", 5000, 7, "100.64.3.2"),
    UnreachableAdded("fd74:6f78::/32", 20_000),
    RuleAdded(5000, 5000, "100.64.3.2/32", 116),
    RuleAdded(5000, 254, "0.0.0.0/0", 116, "10.0.0.0/8", inverted=True, no_default=True),
    LinkSet(TOX0, "mtu", 1368, 1500),
    LinkUp(TOX0),
    SysctlSet("net/ipv4/ip_forward", "1", "0"),
    NftTable("inet", "toxvpn_exit_tox0", "chain output { }"),
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
    with pytest.raises(NetworkBusyError, match="already up by process"):
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


# -- a record that is not ours ------------------------------------------------------------------------

SERVICE = 54321
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, for two users")


@as_root
def test_what_a_service_has_written_is_not_undone_by_root(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "journal"
    written(path)
    for place in (tmp_path, path):
        os.chown(place, SERVICE, SERVICE)
    journal = Journal(path)
    assert journal.changes == []
    assert f"not undone: {path} was written by user {SERVICE}" in caplog.text
    journal.add(LinkUp(TOX0))
    journal.close()
    journal = Journal(path)
    assert journal.changes == [LinkUp(TOX0)]  # which we have written
    journal.close()


@as_root
@pytest.mark.parametrize("plant", ["link", "hard link"])
def test_nor_what_a_service_leads_root_to(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, plant: str
) -> None:
    """A record of root's from elsewhere, say from another time."""
    written(tmp_path / "roots")
    service = tmp_path / "service"
    service.mkdir()
    path = service / "journal"
    path.symlink_to(tmp_path / "roots") if plant == "link" else path.hardlink_to(tmp_path / "roots")
    os.chown(service, SERVICE, SERVICE)
    journal = Journal(path)
    assert journal.changes == []
    assert "are not undone" in caplog.text
    journal.close()


@pytest.mark.parametrize("plant", ["link", "fifo"])
def test_the_lock_is_a_file_of_its_own(tmp_path: Path, plant: str) -> None:
    lock = tmp_path / "journal.lock"
    lock.symlink_to(tmp_path / "victim") if plant == "link" else os.mkfifo(lock)
    with pytest.raises(ToxvpnError, match=r"journal\.lock is "):
        Journal(tmp_path / "journal")
    assert not (tmp_path / "victim").exists()


@as_root
def test_roots_lock_in_a_services_directory_is_the_services(tmp_path: Path) -> None:
    os.chown(tmp_path, SERVICE, SERVICE)
    Journal(tmp_path / "journal").close()
    assert (tmp_path / "journal.lock").stat().st_uid == SERVICE


@pytest.mark.parametrize(
    "key",
    [
        "/etc/passwd",
        "../../etc/passwd",
        "net/../kernel/core_pattern",
        "net/ipv4/conf/../ip_forward",
        "net/ipv4/conf/../../../kernel/core_pattern",
        "net/ipv4/conf/a/b/forwarding",
        "net/ipv4/ip_forward/",
        "net/ipv4/ip_forward\n",
        "kernel/core_pattern",
        "net/core/rmem_max",
        "",
    ],
)
def test_no_sysctl_but_ours_comes_from_a_record(key: str) -> None:
    with pytest.raises(ValueError, match="not a sysctl that toxvpn may"):
        from_json({"kind": "sysctl", "key": key, "value": "1", "previous": "0"})
    with pytest.raises(ValueError, match="not a sysctl that toxvpn may"):
        read_sysctl(key)


@pytest.mark.parametrize(("value", "previous"), [("1", "root:x:0:0"), ("", "0"), ("1\n", "0"), ("-1", "0")])
def test_no_value_but_a_number_comes_from_a_record(value: str, previous: str) -> None:
    with pytest.raises(ValueError, match="is not a number"):
        from_json({"kind": "sysctl", "key": "net/ipv4/ip_forward", "value": value, "previous": previous})


@pytest.mark.parametrize(
    ("family", "name"), [("inet", "filter"), ("inet", "toxvpn_x; flush ruleset"), ("bridge", "toxvpn_x")]
)
def test_no_table_of_others_comes_from_a_record(family: str, name: str) -> None:
    with pytest.raises(ValueError, match="is not an nftables table of toxvpn"):
        from_json({"kind": "nft-table", "family": family, "name": name, "content": ""})


@pytest.mark.parametrize(
    "key",
    ["net/ipv4/conf/eth0.100/rp_filter", "net/ipv6/conf/all/forwarding", "net/ipv6/conf/...a/accept_ra"],
)
def test_the_sysctls_of_an_interface_are_ours_to_set(key: str) -> None:
    assert SysctlSet(key, "1", "0").key == key


def test_a_record_with_a_sysctl_of_others_is_damaged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "journal"
    written(path)
    victim = tmp_path / "victim"
    victim.write_text("1")
    change = {"kind": "sysctl", "key": str(victim), "value": "1", "previous": "0"}
    path.write_text(json.dumps(json.loads(path.read_text()) | {"changes": [change]}))
    journal = Journal(path)
    assert journal.changes == [] and "is damaged" in caplog.text
    journal.close()
    assert victim.read_text() == "1"
