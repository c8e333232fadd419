"""The demonstrations, in namespaces. (Those that take long are left to scripts/vagrant-lab.)"""

import subprocess
import sys

from lab.processes import REPOSITORY


def test_demonstrations_pass() -> None:
    argv = [sys.executable, "-m", "demos", "enclosed", "forward", "killed"]
    shown = subprocess.run(argv, cwd=REPOSITORY, capture_output=True, text=True)
    assert shown.returncode == 0, shown.stdout + shown.stderr
    assert shown.stdout.endswith("PASS  enclosed\nPASS  forward\nPASS  killed\n")
    assert "FAIL" not in shown.stdout
