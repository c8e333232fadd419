"""The Vagrantfile is one that Vagrant accepts. (scripts/vagrant-lab starts its machines.)"""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.mark.skipif(not shutil.which("vagrant"), reason="vagrant is not installed")
@pytest.mark.parametrize("provider", ["libvirt", "virtualbox"])
def test_vagrant_accepts_it(provider: str, tmp_path: Path) -> None:
    environment = {**os.environ, "VAGRANT_DEFAULT_PROVIDER": provider, "VAGRANT_DOTFILE_PATH": str(tmp_path)}
    argv = ["vagrant", "validate", "--ignore-provider"]  # the provider's own part needs the provider
    validated = subprocess.run(argv, cwd=REPOSITORY, env=environment, capture_output=True, text=True)
    assert validated.returncode == 0, validated.stdout + validated.stderr
    for name in ("internet", "nat-a", "nat-b", "server", "laptop"):
        assert f"==> {name}:" in validated.stdout
