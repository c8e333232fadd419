"""What decides in scripts/check-wheels; the checks themselves are for a release."""

from pathlib import Path

import pytest

from lab import LabError
from lab.wheels import Checks, find_wheel


def test_the_wheel_for_the_machine(tmp_path: Path) -> None:
    names = [f"toxvpn-1.0-cp311-abi3-manylinux_2_28_{machine}.whl" for machine in ("x86_64", "aarch64")]
    for name in (*names, "toxvpn-1.0.tar.gz"):
        (tmp_path / name).touch()
    assert find_wheel(tmp_path, "aarch64").name == names[1]
    with pytest.raises(SystemExit, match="has 0 wheels for riscv64"):
        find_wheel(tmp_path, "riscv64")


def fail(reason: str) -> None:
    raise LabError(reason)


def test_a_check_that_fails_is_told_and_remembered(capsys: pytest.CaptureFixture[str]) -> None:
    good, bad = Checks("trixie"), Checks("bookworm")
    with good.check("-V") as details:
        details.append("all in force")
    with bad.check("-L"):
        fail("no page came")
    assert (good.failed, bad.failed) == (False, True)
    passed, failed = capsys.readouterr().out.splitlines()
    assert passed.startswith("PASS  trixie: -V: ") and passed.endswith(", all in force")
    assert failed == "FAIL  bookworm: -L: no page came"
