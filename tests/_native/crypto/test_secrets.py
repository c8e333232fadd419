"""Under valgrind, no kernel of this processor branches or looks up by key or text."""

import os
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent
SOURCES = Path(__file__).parents[3] / "toxvpn/_native/crypto"
FILES = ("box.c", "kernels.c", "subkeys.c", "salsa20_*.c", "poly1305_*.c")
COMPILER = shlex.split(os.environ.get("CC", "cc"))

pytestmark = pytest.mark.skipif(
    not shutil.which("valgrind")
    or not shutil.which(COMPILER[-1])
    or not Path("/usr/include/valgrind/memcheck.h").exists(),
    reason="there is no valgrind here, or no C compiler",
)


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("secrets") / "secrets"
    sources = [path for name in FILES for path in sorted(SOURCES.glob(name))]
    flags = ["-O2", "-fno-strict-aliasing", "-g", f"-I{SOURCES}"]
    subprocess.run([*COMPILER, *flags, "-o", out, FOLDER / "secrets.c", *sources], check=True)
    return out


def under_valgrind(program: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    options = ["--quiet", "--error-exitcode=1", f"--suppressions={FOLDER / 'public.supp'}"]
    return subprocess.run(["valgrind", *options, program, *arguments], capture_output=True, text=True)


def test_nothing_is_decided_by_a_secret(program: Path) -> None:
    done = under_valgrind(program)
    assert done.returncode == 0, done.stderr
    assert "portable: " in done.stdout


@pytest.mark.parametrize("how", ["branch", "look-up"])
def test_what_is_decided_by_a_secret_would_be_seen(program: Path, how: str) -> None:
    assert "uninitialised" in under_valgrind(program, how).stderr
