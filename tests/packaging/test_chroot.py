"""packaging/chroot.sh trusts no directory that another user has made."""

import os
import subprocess
from pathlib import Path

import pytest

CHROOT = Path(__file__).resolve().parents[2] / "packaging/chroot.sh"
NOBODY = 65534


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
@pytest.mark.parametrize("kind", ["another user's", "a link"])
def test_roots_are_kept_in_a_directory_of_root_alone(kind: str, tmp_path: Path) -> None:
    kept, elsewhere = tmp_path / "kept", tmp_path / "elsewhere"
    elsewhere.mkdir()
    if kind == "a link":
        kept.symlink_to(elsewhere)
    else:
        kept.mkdir()
        os.chown(kept, NOBODY, NOBODY)
    command = [str(CHROOT), "nosuchsuite", "true"]
    ran = subprocess.run(
        command, env=os.environ | {"TOXVPN_CHROOTS": str(kept)}, capture_output=True, text=True
    )
    assert ran.returncode == 77
    assert "is not root's own directory" in ran.stderr
    assert not any(elsewhere.iterdir())
