"""The C programs of this folder: kernels against the portable one, some as on processors that we lack."""

import shutil
import subprocess
from pathlib import Path

import pytest

from toxvpn.testing import boxes

HERE = Path(__file__).parent
ROOM = HERE.parents[2] / "toxvpn/_native/crypto"


def run(folder: Path, program: str, *sources: Path) -> str:
    compiler = shutil.which("cc") or shutil.which("gcc")
    if not compiler:
        pytest.skip("needs a C compiler")
    built = folder / "program"
    command: list[str | Path] = [compiler, "-O2", f"-I{ROOM}", HERE / program, *sources, "-o", built]
    subprocess.run(command, check=True)
    ran = subprocess.run([built], capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stdout
    return ran.stdout


def test_the_program_for_emulators_finds_that_all_agree(tmp_path: Path) -> None:
    named = [ROOM / f"{name}.c" for name in ("box", "kernels", "subkeys")]
    told = run(tmp_path, "agree.c", *named, *ROOM.glob("salsa20_*.c"), *ROOM.glob("poly1305_*.c"))
    agreeing = {line.removesuffix(": agrees") for line in told.splitlines() if line.endswith(": agrees")}
    assert agreeing == set(boxes.usable_kernels())


@pytest.mark.skipif("avx2" not in boxes.usable_kernels(), reason="needs a processor with AVX2")
def test_ifma_is_right_but_for_the_instruction_itself(tmp_path: Path) -> None:
    run(tmp_path, "ifma.c", ROOM / "poly1305_portable.c")
