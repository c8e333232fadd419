"""The versions that are known to be broken."""

import pytest

from toxvpn._native.flaws import ANNOUNCE, BAD_SEGMENTS, flaw_of_libtoxcore, flaw_of_segmentation


@pytest.mark.parametrize(
    ("version", "flawed"),
    [
        ((0, 2, 18), False),
        ((0, 2, 19), True),
        ((0, 2, 20), True),
        ((0, 2, 22), True),
        ((0, 2, 23), False),
        ((0, 3, 0), False),
        ((1, 2, 20), False),
    ],
)
def test_libtoxcore(version: tuple[int, int, int], flawed: bool) -> None:
    assert flaw_of_libtoxcore(version) == (ANNOUNCE if flawed else None)
    assert flaw_of_libtoxcore(version, "GHSA-1 GHSA-42vg-9mg3-399f") is None
    assert flaw_of_libtoxcore(version, "GHSA-42vg-9mg3") == (ANNOUNCE if flawed else None)


@pytest.mark.parametrize(
    ("release", "flawed"),
    [
        ("6.12.43+deb13-amd64", False),
        ("6.19.14", False),
        ("7.0", True),
        ("7.0-rc1", True),
        ("7.0.0-14-generic", True),
        ("7.0.10-1-pve", True),
        ("7.1.0-rc3+", True),
        ("7.1-rc7", True),
        ("7.1.4-arch1-1", True),
        ("7.1.5", False),
        ("7.1.15-200.fc44.x86_64", False),
        ("7.2.0", False),
        ("17.0.1", False),
        ("5.15.90.1-microsoft-standard-WSL2", False),
        ("7", False),
        ("7.x", False),
        ("", False),
        ("a kernel of my own", False),
    ],
)
def test_segmentation(release: str, flawed: bool) -> None:
    assert flaw_of_segmentation(release) == (BAD_SEGMENTS if flawed else None)
