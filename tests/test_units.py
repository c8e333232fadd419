"""The units as systemd's own tools see them, and how exposed they are."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from toxvpn.cli.service import PROGRAM, SHIPPED, UNITS

MOST_EXPOSED = 2.0
FORWARDS_ONLY = SHIPPED / "forwards-only.conf"
CONTRIB = Path(__file__).parents[1] / "contrib"

needs_systemd = pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="needs systemd-analyze")


@pytest.fixture
def units(tmp_path: Path) -> Path:
    """With a program and a manual that this machine has, and the template as one of its instances."""
    for name in UNITS:
        text = SHIPPED.joinpath(name).read_text().replace(PROGRAM, "/bin/true")
        text = text.replace("Documentation=man:toxvpn(1)\n", "")
        tmp_path.joinpath(name.replace("@", "@office")).write_text(text)
    return tmp_path


def exposure(unit: Path) -> float:
    argv = ["systemd-analyze", "security", "--offline=true", "--no-pager", str(unit)]
    said = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    found = re.search(r"Overall exposure level for \S+: (\d+\.\d)", said)
    assert found, said
    return float(found[1])


@needs_systemd
@pytest.mark.parametrize("name", ["toxvpn.service", "toxvpn@office.service"])
def test_the_sandbox_is_tight(units: Path, name: str) -> None:
    assert exposure(units / name) <= MOST_EXPOSED


@needs_systemd
def test_without_a_vpn_it_can_be_tighter_still(units: Path) -> None:
    unit = units / "toxvpn.service"
    before = exposure(unit)
    text = unit.read_text()
    for line in FORWARDS_ONLY.read_text().partition("[Service]")[2].split():
        text = re.sub(rf"^{line.partition('=')[0]}=.*\n", "", text, flags=re.MULTILINE)
        text = text.replace("[Service]\n", f"[Service]\n{line}\n")
    unit.write_text(text)
    assert exposure(unit) <= before - 0.4


@needs_systemd
@pytest.mark.parametrize("name", ["toxvpn.service", "toxvpn@office.service"])
def test_systemd_understands_every_line(units: Path, name: str) -> None:
    ran = subprocess.run(["systemd-analyze", "verify", units / name], capture_output=True, text=True)
    ours = [line for line in ran.stderr.splitlines() if "toxvpn" in line]
    assert ours == []


def test_the_two_units_differ_only_in_what_they_are_for() -> None:
    one, many = (SHIPPED.joinpath(name).read_text().splitlines() for name in UNITS)
    different = {line.partition("=")[0] for line in set(one) ^ set(many) if not line.startswith("#")}
    assert different == {
        "Description", "ExecStart", "ExecReload",
        "Environment", "StateDirectory", "RuntimeDirectory", "RuntimeDirectoryMode",
        "RuntimeDirectoryPreserve",
    }  # fmt: skip


def test_contrib_shows_the_very_files_that_are_installed() -> None:
    assert CONTRIB.joinpath("systemd").resolve() == SHIPPED
