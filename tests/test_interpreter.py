"""A process of our own finds our package, and nothing from the environment or the current directory."""

import os
import subprocess
from pathlib import Path

from toxvpn.interpreter import ROOT, command_line

CODE = "import sys, toxvpn; print(toxvpn.__file__, sys.argv[1:3], '' in sys.path)"


def test_it_runs_our_package_with_its_arguments(tmp_path: Path) -> None:
    (tmp_path / "toxvpn.py").write_text("raise SystemExit('the wrong one')")
    (tmp_path / "sitecustomize.py").write_text("print('the wrong one')")
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        command_line(CODE, ["a", "b"]), cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True
    )
    assert done.stdout == f"{ROOT / 'toxvpn' / '__init__.py'} ['a', 'b'] False\n"
