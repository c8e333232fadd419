"""Builds blaster.pyx against toxvpn's own declarations, when it is older than they are."""

import subprocess
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).parent.parent
SOURCE = Path(__file__).with_name("blaster.pyx")
NATIVE = ROOT / "toxvpn" / "_native"
CACHE = ROOT / "build" / "bench"


def build() -> None:
    """Leave the extension module beside its source; the generated C is in CACHE."""
    module = SOURCE.with_suffix(sysconfig.get_config_var("EXT_SUFFIX"))
    sources = [SOURCE, *NATIVE.rglob("*.pxd"), *NATIVE.rglob("*.h")]
    if module.exists() and module.stat().st_mtime > max(source.stat().st_mtime for source in sources):
        return
    CACHE.mkdir(parents=True, exist_ok=True)
    translated = CACHE / "blaster.c"
    subprocess.run(
        [sys.executable, "-m", "cython", "-I", str(ROOT), "-o", str(translated), str(SOURCE)], check=True
    )
    includes = [f"-I{path}" for path in (sysconfig.get_path("include"), NATIVE / "net", NATIVE / "path")]
    subprocess.run(
        ["cc", "-O2", "-shared", "-fPIC", *includes, "-o", str(module), str(translated)], check=True
    )
