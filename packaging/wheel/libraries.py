"""Compiles libsodium and libtoxcore for one architecture, with zig's C compiler, for an old glibc."""

import hashlib
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import ziglang
from sources import HERE

GLIBC = "2.28"
"""The oldest glibc that the wheels work with: Debian 10, Ubuntu 18.10, RHEL 8."""
ZIG = Path(ziglang.__file__).with_name("zig")
FLAGS = "-O2 -fstack-protector-strong -D_FORTIFY_SOURCE=2"
NOT_BUILT = ("BUILD_TOXAV", "UNITTEST", "AUTOTEST", "BOOTSTRAP_DAEMON", "DHT_BOOTSTRAP", "ENABLE_STATIC")


@dataclass(frozen=True)
class Target:
    """`arch`: x86_64 or aarch64. `work`: a folder of its own."""

    arch: str
    work: Path

    @property
    def prefix(self) -> Path:
        """Where its libraries are installed."""
        return self.work / "prefix"

    @property
    def triple(self) -> str:
        return f"{self.arch}-linux-gnu"

    @property
    def compiler(self) -> str:
        return f"{ZIG} cc -target {self.triple}.{GLIBC}"

    def environment(self) -> dict[str, str]:
        """Nothing of this machine's is linked in, and zig keeps its cache here."""
        return os.environ | {
            "CC": self.compiler,
            "CXX": self.compiler.replace(" cc ", " c++ "),  # compiles nothing, but CMake asks for it
            "AR": f"{ZIG} ar",
            "RANLIB": f"{ZIG} ranlib",
            "CFLAGS": FLAGS,
            "LDFLAGS": "-Wl,-s",
            "PKG_CONFIG_LIBDIR": str(self.prefix / "lib/pkgconfig"),
            "ZIG_GLOBAL_CACHE_DIR": str(self.work.parent / "zig"),
            "ZIG_LOCAL_CACHE_DIR": str(self.work.parent / "zig"),
        }


def compile_libraries(target: Target, trees: dict[str, Path]) -> None:
    """Install both below target.prefix, unless they are there and were made in the same way."""
    done = target.work / "libraries.done"
    if done.exists() and done.read_text() == recipe():
        return
    shutil.rmtree(target.work, ignore_errors=True)
    compile_libsodium(target, trees["libsodium"])
    compile_libtoxcore(target, trees["libtoxcore"])
    done.write_text(recipe())


def recipe() -> str:
    """Another one for every change of what decides about the libraries."""
    files = sorted(path for path in HERE.iterdir() if path.is_file() and path.name != "wheels.py")
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()


def compile_libsodium(target: Target, tree: Path) -> None:
    build = target.work / "libsodium"
    build.mkdir(parents=True, exist_ok=True)
    options = [f"--host={target.triple}", f"--prefix={target.prefix}", "--disable-static", "--silent"]
    run([str(tree / "configure"), *options], build, target)
    run(["make", f"-j{os.cpu_count()}", "--silent", "install"], build, target)


def compile_libtoxcore(target: Target, tree: Path) -> None:
    build = target.work / "libtoxcore"
    settings = {
        "CMAKE_SYSTEM_NAME": "Linux",
        "CMAKE_SYSTEM_PROCESSOR": target.arch,
        "CMAKE_BUILD_TYPE": "None",  # CFLAGS say it all
        "CMAKE_FIND_ROOT_PATH": str(target.prefix),
        "CMAKE_FIND_ROOT_PATH_MODE_LIBRARY": "ONLY",  # not this machine's
        "CMAKE_FIND_ROOT_PATH_MODE_INCLUDE": "ONLY",
        "CMAKE_INSTALL_PREFIX": str(target.prefix),
        "CMAKE_INSTALL_LIBDIR": "lib",
        **dict.fromkeys(NOT_BUILT, "OFF"),
    }
    given = [f"-D{name}={value}" for name, value in settings.items()]
    run(["cmake", "-S", str(tree), "-B", str(build), *given], target.work, target)
    run(["make", f"-j{os.cpu_count()}", "--silent", "install"], build, target)


def run(command: list[str], folder: Path, target: Target) -> None:
    """What it prints is kept in a file, and its end shown if it fails."""
    log = target.work / f"{folder.name}-{Path(command[0]).name}.log"
    with log.open("wb") as out:
        failed = subprocess.call(command, cwd=folder, env=target.environment(), stdout=out, stderr=out)
    if failed:
        end = "\n".join(log.read_text(errors="replace").splitlines()[-30:])
        raise SystemExit(f"{end}\n{' '.join(command[:2])} failed; all that it said is in {log}")
