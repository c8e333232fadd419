"""The Vagrantfile is one that Vagrant accepts. (scripts/vagrant-lab starts its machines.)"""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
NOBODY = 65534


@pytest.mark.parametrize("script", ["host", "internet", "network", "toxvpn"])
def test_a_script_for_virtual_machines_does_nothing_elsewhere(script: str) -> None:
    with (REPOSITORY / f"lab/provision/{script}.sh").open() as source:
        ran = subprocess.run(
            ["sh", "-s", "name", "-"],
            stdin=source,
            capture_output=True,
            text=True,
            cwd="/",
            user=NOBODY if os.geteuid() == 0 else None,  # for the day when it does something
        )
    assert ran.returncode == 1
    assert ran.stderr == f"{script}.sh: is for the virtual machines of the lab alone\n"


if shutil.which("vagrant"):  # scripts/setup does not install it, and a skipped test fails on CI

    @pytest.mark.parametrize("provider", ["libvirt", "virtualbox"])
    def test_vagrant_accepts_it(provider: str, tmp_path: Path) -> None:
        environment = {
            **os.environ,
            "VAGRANT_DEFAULT_PROVIDER": provider,
            "VAGRANT_DOTFILE_PATH": str(tmp_path),
        }
        argv = ["vagrant", "validate", "--ignore-provider"]  # the provider's own part needs the provider
        validated = subprocess.run(argv, cwd=REPOSITORY, env=environment, capture_output=True, text=True)
        assert validated.returncode == 0, validated.stdout + validated.stderr
        for name in ("internet", "nat-a", "nat-b", "server", "laptop"):
            assert f"==> {name}:" in validated.stdout
