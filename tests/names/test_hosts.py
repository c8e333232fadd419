"""The block in /etc/hosts: whole, or not there; and no line of others is ever lost."""

import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toxvpn.errors import ToxvpnError
from toxvpn.names import hosts
from toxvpn.names.hosts import HostsBlock, put_block, with_block, without_block
from toxvpn.tun.host.changes import from_json, to_json
from toxvpn.tun.host.netconf import NetworkChanges

OURS = ["100.64.1.2 box.tox.internal", "fd74:6f78::2 box.tox.internal"]
THEIRS = "127.0.0.1 localhost\n::1 localhost ip6-localhost\n"


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "hosts"
    path.write_text(THEIRS)
    monkeypatch.setattr(hosts, "HOSTS", path)
    return path


def test_the_block_has_our_lines_and_is_marked() -> None:
    text = with_block(THEIRS, "toxvpn0", OURS)
    assert text.startswith(THEIRS)
    assert text.splitlines()[2:] == [
        "# BEGIN toxvpn toxvpn0 (kept by toxvpn: changes in here are lost)",
        *OURS,
        "# END toxvpn toxvpn0",
    ]


def test_blocks_of_several_devices_stay_apart() -> None:
    both = with_block(with_block(THEIRS, "toxvpn0", OURS), "toxvpn1", OURS[:1])
    assert without_block(both, "toxvpn0") == with_block(THEIRS, "toxvpn1", OURS[:1])


def test_lines_that_a_person_put_into_the_block_stay() -> None:
    text = with_block(THEIRS, "toxvpn0", OURS).replace(OURS[1], f"10.0.0.1 printer\n{OURS[1]}")
    assert without_block(text, "toxvpn0") == THEIRS + "10.0.0.1 printer\n"


def test_a_block_whose_end_was_removed_ends_with_our_last_line() -> None:
    text = with_block(THEIRS, "toxvpn0", OURS).replace("# END toxvpn toxvpn0\n", "10.0.0.1 printer\n")
    text += "10.0.0.2 box.tox.internal\n"
    assert without_block(text, "toxvpn0") == THEIRS + "10.0.0.1 printer\n10.0.0.2 box.tox.internal\n"


line = st.text(st.characters(codec="utf-8"), max_size=12) | st.sampled_from(
    ["# BEGIN toxvpn toxvpn0", "# END toxvpn toxvpn1", "# comment", "10.0.0.1 nas.tox.internal", "", "\r"]
)
texts = st.builds(
    lambda lines, end: "\n".join(lines) + end, st.lists(line, max_size=6), st.sampled_from(["", "\n"])
)


@given(texts, st.lists(st.sampled_from(OURS)), st.lists(st.sampled_from(OURS)))
def test_any_file_is_as_before_once_the_block_is_gone(text: str, first: list[str], then: list[str]) -> None:
    text = without_block(text, "toxvpn0")
    once = with_block(text, "toxvpn0", first)
    assert with_block(once, "toxvpn0", then) == with_block(text, "toxvpn0", then)
    assert without_block(once, "toxvpn0") == text


marks = st.sampled_from(
    [*with_block("", "toxvpn0", OURS).splitlines(), *with_block("", "t1", ()).splitlines()]
)


@given(st.lists(line, max_size=12), st.lists(marks, max_size=8), st.randoms())
def test_no_line_of_others_is_lost_whatever_the_file_has(  # type: ignore[no-untyped-def]
    theirs: list[str], ours: list[str], random
) -> None:
    others = [f"{number} {text}" for number, text in enumerate(theirs) if not set("\n.") & set(text)]
    lines = [*others, *ours]
    random.shuffle(lines)
    left = without_block("\n".join(lines) + "\n", "toxvpn0").split("\n")
    assert [each for each in left if each in others] == [each for each in lines if each in others]


def test_the_file_is_replaced_in_one_step_and_keeps_its_mode(file: Path) -> None:
    file.chmod(0o640)
    before = file.stat()
    put_block("toxvpn0", OURS)
    after = file.stat()
    assert file.read_text() == with_block(THEIRS, "toxvpn0", OURS)
    assert (stat.S_IMODE(after.st_mode), after.st_uid) == (0o640, before.st_uid)
    assert after.st_ino != before.st_ino
    assert [each.name for each in file.parent.iterdir()] == ["hosts"]


def test_nothing_is_written_when_nothing_changes(file: Path) -> None:
    put_block("toxvpn0", OURS)
    before = file.stat()
    put_block("toxvpn0", OURS)
    assert file.stat().st_ino == before.st_ino


def test_bytes_of_any_encoding_stay(file: Path) -> None:
    file.write_bytes(b"10.0.0.1 b\xfcro # \xff\n")
    put_block("toxvpn0", OURS)
    HostsBlock("toxvpn0").undo(None)
    assert file.read_bytes() == b"10.0.0.1 b\xfcro # \xff\n"


def test_a_missing_file_is_told_and_needs_no_undo(file: Path) -> None:
    file.unlink()
    with pytest.raises(ToxvpnError, match="hosts"):
        put_block("toxvpn0", OURS)
    HostsBlock("toxvpn0").undo(None)
    assert not file.exists()


def test_a_file_that_is_mounted_is_left_alone(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "is_mount", lambda self: True)
    with pytest.raises(ToxvpnError, match="mounted by itself"):
        put_block("toxvpn0", OURS)
    assert file.read_text() == THEIRS


def test_the_journal_takes_out_what_a_killed_run_left(file: Path, tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    pid = os.fork()
    if pid == 0:
        NetworkChanges(journal).set_hosts("toxvpn0", OURS)
        os._exit(0)  # as if killed: nothing is undone
    assert os.waitpid(pid, 0)[1] == 0
    assert "box.tox.internal" in file.read_text()
    with NetworkChanges(journal) as network:
        assert network.recovered == 1
        assert file.read_text() == THEIRS
        network.set_hosts("toxvpn0", OURS[:1])
        network.set_hosts("toxvpn0", OURS)
        assert file.read_text() == with_block(THEIRS, "toxvpn0", OURS)
        network.remove_hosts("toxvpn0")
        network.remove_hosts("toxvpn0")
        assert file.read_text() == THEIRS
        network.set_hosts("toxvpn0", OURS)
    assert file.read_text() == THEIRS


@pytest.mark.parametrize("mark", ["", "a b", "x\ny", "a/b", "a" * 16])
def test_a_journal_cannot_name_another_block(mark: str) -> None:
    assert from_json(to_json(HostsBlock("toxvpn0"))) == HostsBlock("toxvpn0")
    with pytest.raises(ValueError, match="marks no block"):
        from_json({"kind": "hosts", "mark": mark})
