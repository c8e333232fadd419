import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toxvpn import linux
from toxvpn.errors import ConfigError, NoPermissionError
from toxvpn.files import folder
from toxvpn.files.folder import (
    NotKeptError,
    Unfinished,
    give_name,
    keep_folder,
    numbered,
    open_below,
    open_existing,
    open_folder,
    open_unfinished_folder,
    safe_name,
    unfinished_name,
)
from toxvpn.wire.filetransfer import MOST_NAME_BYTES, Failure

TAG = b"0123456789ab"
names = st.binary(min_size=1, max_size=MOST_NAME_BYTES).map(
    lambda name: name.replace(b"/", b"x").replace(b"\0", b"y")
)


@pytest.fixture
def into(tmp_path: Path) -> Iterator[int]:
    descriptor = open_folder(tmp_path)
    yield descriptor
    os.close(descriptor)


def receive(into: int, name: bytes, data: bytes) -> bytes:
    unfinished = Unfinished(into, name, TAG)
    os.write(unfinished.descriptor, data)
    try:
        return unfinished.keep(0o644, 1_000_000_000)
    finally:
        unfinished.close()


@given(names)
def test_no_name_becomes_too_long(name: bytes) -> None:
    for longer in (unfinished_name(name, TAG), safe_name(name, top=True), numbered(name, 999)):
        assert 0 < len(longer) <= MOST_NAME_BYTES and b"/" not in longer


@given(names)
def test_no_received_name_is_that_of_an_unfinished_file(name: bytes) -> None:
    assert safe_name(name, top=False) != unfinished_name(name, TAG)
    assert not (safe_name(name, top=False).startswith(b".") and safe_name(name, top=False).endswith(b".part"))
    assert not safe_name(name, top=True).startswith(b".")


def test_long_names_that_begin_alike_are_told_apart() -> None:
    assert unfinished_name(b"a" * 255, TAG) != unfinished_name(b"a" * 254 + b"b", TAG)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (b"photo.jpg", b"photo (1).jpg"),
        (b"README", b"README (1)"),
        (b".profile", b".profile (1)"),
        (b"a.b.c", b"a.b (1).c"),
        (b"a.ending which is none", b"a.ending which is none (1)"),
        (b"a" * 255, b"a" * 251 + b" (1)"),
    ],
)
def test_a_taken_name_gets_a_number(name: bytes, expected: bytes) -> None:
    assert numbered(name, 1) == expected


def test_nothing_is_ever_replaced(tmp_path: Path, into: int) -> None:
    tmp_path.joinpath("a.txt").write_text("old")
    tmp_path.joinpath("a (1).txt").symlink_to("nowhere")
    assert receive(into, b"a.txt", b"new") == b"a (2).txt"
    assert tmp_path.joinpath("a.txt").read_text() == "old"
    assert not tmp_path.joinpath("nowhere").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a (1).txt", "a (2).txt", "a.txt"]


def test_where_the_file_system_cannot_rename_exclusively(
    tmp_path: Path, into: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cannot(old: bytes, new: bytes, directory: int) -> None:
        raise OSError(22, "Invalid argument")

    monkeypatch.setattr(linux, "rename_exclusive", cannot)
    tmp_path.joinpath("a.txt").write_text("old")
    assert receive(into, b"a.txt", b"new") == b"a (1).txt"
    assert tmp_path.joinpath("a.txt").read_text() == "old"
    tmp_path.joinpath("folder").mkdir()
    descriptor = open_unfinished_folder(into, b"folder", TAG)
    assert keep_folder(into, descriptor, b"folder", TAG, 0o755) == b"folder (1)"
    os.close(descriptor)


def test_the_file_has_mode_and_time_and_is_private_before(tmp_path: Path, into: int) -> None:
    unfinished = Unfinished(into, b"run.sh", TAG)
    found = tmp_path.joinpath(os.fsdecode(unfinished_name(b"run.sh", TAG))).stat()
    assert stat.S_IMODE(found.st_mode) == 0o600
    unfinished.keep(0o755, 1_500_000_000_123_456_789)
    unfinished.close()
    found = tmp_path.joinpath("run.sh").stat()
    assert stat.S_IMODE(found.st_mode) == 0o755
    assert found.st_mtime_ns == 1_500_000_000_123_456_789


@pytest.mark.parametrize("mtime_ns", [-(1 << 63), (1 << 63) - 1])
def test_a_time_that_cannot_be_is_left_out(into: int, mtime_ns: int) -> None:
    unfinished = Unfinished(into, b"a", TAG)
    assert unfinished.keep(0o644, mtime_ns) == b"a"
    unfinished.close()


def test_an_unfinished_file_is_found_again_and_only_by_its_sender(into: int) -> None:
    first = Unfinished(into, b"a", TAG)
    os.write(first.descriptor, b"12345")
    first.close()
    again, other = Unfinished(into, b"a", TAG), Unfinished(into, b"a", b"another tag")
    assert (again.length_bytes, other.length_bytes) == (5, 0)
    again.close()
    other.close()


def test_two_do_not_write_to_one_file(into: int) -> None:
    first = Unfinished(into, b"a", TAG)
    with pytest.raises(NotKeptError) as caught:
        Unfinished(into, b"a", TAG)
    assert caught.value.why is Failure.BUSY
    first.keep(0o644, 0)
    first.close()
    second = Unfinished(into, b"a", TAG)
    assert second.keep(0o644, 0) == b"a (1)"
    second.close()


def test_a_link_in_place_of_the_unfinished_file_is_not_followed(tmp_path: Path, into: int) -> None:
    outside = tmp_path / "precious"
    outside.write_text("keep me")
    part = os.fsdecode(unfinished_name(b"a", TAG))
    tmp_path.joinpath(part).symlink_to(outside)
    with pytest.raises(NotKeptError):
        Unfinished(into, b"a", TAG)
    tmp_path.joinpath(part).unlink()
    tmp_path.joinpath(part).hardlink_to(outside)
    with pytest.raises(NotKeptError):
        Unfinished(into, b"a", TAG)
    tmp_path.joinpath(part).unlink()
    os.mkfifo(tmp_path / part)
    with pytest.raises(NotKeptError):
        Unfinished(into, b"a", TAG)
    assert outside.read_text() == "keep me"


def test_a_link_below_the_folder_is_not_followed(tmp_path: Path, into: int) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    inside = tmp_path / "inside"
    inside.mkdir()
    inside.joinpath("way out").symlink_to(outside)
    descriptor = open_folder(inside)
    with pytest.raises(NotKeptError):
        open_below(descriptor, (b"way out",))
    with pytest.raises(NotKeptError):
        open_below(descriptor, (b"way out", b"deeper"))
    os.close(open_below(descriptor, (b"a", b"b")))
    os.close(descriptor)
    assert inside.joinpath("a/b").is_dir() and not any(outside.iterdir())


def test_an_existing_file_counts_only_with_size_and_time(tmp_path: Path, into: int) -> None:
    tmp_path.joinpath("a").write_text("12345")
    os.utime(tmp_path / "a", ns=(7, 7))
    tmp_path.joinpath("link").symlink_to("a")
    tmp_path.joinpath("directory").mkdir()
    os.mkfifo(tmp_path / "pipe")
    found = open_existing(into, b"a", 5, 7)
    assert found is not None
    os.close(found)
    for name, size, mtime in ((b"a", 4, 7), (b"a", 5, 8), (b"link", 5, 7), (b"pipe", 0, 0), (b"none", 0, 0)):
        assert open_existing(into, name, size, mtime) is None
    assert open_existing(into, b"directory", *_size_and_time(tmp_path / "directory")) is None


def _size_and_time(path: Path) -> tuple[int, int]:
    return path.stat().st_size, path.stat().st_mtime_ns


def test_a_folder_gets_its_name_when_it_is_whole(tmp_path: Path, into: int) -> None:
    tmp_path.joinpath("photos").mkdir()
    descriptor = open_unfinished_folder(into, b"photos", TAG)
    with pytest.raises(NotKeptError):
        open_unfinished_folder(into, b"photos", TAG)
    os.close(open_below(descriptor, (b"2024",)))
    assert keep_folder(into, descriptor, b"photos", TAG, 0o755) == b"photos (1)"
    os.close(descriptor)
    assert tmp_path.joinpath("photos (1)/2024").is_dir()
    assert not any(tmp_path.joinpath("photos").iterdir())


def test_when_all_numbers_are_taken(tmp_path: Path, into: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder, "MOST_NUMBER", 1)
    for name in ("part", "a", "a (1)"):
        tmp_path.joinpath(name).touch()
    with pytest.raises(FileExistsError):
        give_name(into, b"part", b"a")


def test_a_folder_that_cannot_be_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tmp_path.joinpath("file").touch()
    with pytest.raises(ConfigError, match="no folder"):
        open_folder(tmp_path / "missing")
    with pytest.raises(ConfigError, match="cannot be used"):
        open_folder(tmp_path / "file")
    monkeypatch.setattr(os, "access", lambda *_, **__: False)
    with pytest.raises(NoPermissionError, match="--into"):
        open_folder(tmp_path)
