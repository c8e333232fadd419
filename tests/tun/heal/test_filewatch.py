import asyncio
from collections.abc import Callable
from pathlib import Path

from toxvpn.testing.fake_nodes import until
from toxvpn.tun.heal.filewatch import FileWatch


async def notices(files: list[Path], change: Callable[[], object]) -> bool:
    """Whether a change has been noticed by the time that one to a file of our own has."""
    seen: list[str] = []
    last = files[0].parent / "last"
    watch = FileWatch(files, lambda: seen.append("file"))
    after = FileWatch([last], lambda: seen.append("last"))
    change()
    last.write_text("")
    await until(lambda: "last" in seen)
    await asyncio.sleep(0)
    watch.close()
    after.close()
    return "file" in seen


async def test_a_file_that_is_written_replaced_made_or_removed_is_noticed(tmp_path: Path) -> None:
    path, new = tmp_path / "resolv.conf", tmp_path / "new"
    assert await notices([path], lambda: path.write_text("made"))
    assert await notices([path], lambda: path.write_text("written"))
    new.write_text("replaced")
    assert await notices([path], lambda: new.rename(path))
    assert await notices([path], path.unlink)


async def test_another_file_in_the_folder_is_nothing(tmp_path: Path) -> None:
    assert not await notices([tmp_path / "resolv.conf"], (tmp_path / "hosts").touch)


async def test_both_a_link_and_its_target_count(tmp_path: Path) -> None:
    link, target = tmp_path / "resolv.conf", tmp_path / "run" / "stub.conf"
    target.parent.mkdir()
    target.touch()
    link.symlink_to(target)
    assert await notices([link], lambda: target.write_text("written"))
    assert await notices([link], link.unlink)


async def test_a_folder_that_comes_later_is_watched_once_renewed(tmp_path: Path) -> None:
    seen: list[str] = []
    path = tmp_path / "later" / "resolv.conf"
    watch = FileWatch([path], lambda: seen.append("file"))
    path.parent.mkdir()
    watch.renew()
    path.touch()
    await until(lambda: seen)
    watch.close()
