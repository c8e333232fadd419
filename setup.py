"""Builds the compiled pieces; says in one sentence what is missing when they cannot be built."""

import shutil
import sys
import sysconfig
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

NEEDED = (
    "toxvpn needs a C compiler, Python's headers and libtoxcore's to be built: "
    "on Debian or Ubuntu, 'apt install gcc python3-dev libtoxcore-dev' and try again."
)
NATIVE = "toxvpn/_native"
FLAGS = ["-O2", "-fno-strict-aliasing", "-Wall", "-Wno-unused-function"]


def missing() -> list[str]:
    """What of the build's needs is not on this machine."""
    compiler = (sysconfig.get_config_var("CC") or "cc").split()[0]
    found = []
    if not (shutil.which(compiler) or shutil.which("cc") or shutil.which("gcc")):
        found.append("a C compiler")
    if not Path(sysconfig.get_path("include"), "Python.h").exists():
        found.append("Python.h")
    return found


class Build(build_ext):
    def build_extensions(self) -> None:
        lacking = missing()
        if not lacking and not self._has_toxcore():
            lacking.append("tox/tox.h or libtoxcore.so")
        if lacking:
            sys.exit(f"Missing: {', '.join(lacking)}. {NEEDED}")
        super().build_extensions()

    def _has_toxcore(self) -> bool:
        """Compiles and links a one-line program, as the real build will."""
        probe = Path(self.build_temp, "probe.c")
        probe.parent.mkdir(parents=True, exist_ok=True)
        probe.write_text("#include <tox/tox.h>\nint main(void) { return tox_version_major() != 0; }\n")
        try:
            objects = self.compiler.compile([str(probe)], output_dir=self.build_temp)
            self.compiler.link_executable(objects, "probe", output_dir=self.build_temp, libraries=["toxcore"])
        except Exception:
            return False
        return True


def extension(name: str, *c_sources: str, libraries: list[str] | None = None) -> Extension:
    """`name` is dotted, below _native; the C files are beside its .pyx unless they name a folder."""
    path = Path(NATIVE, *name.split("."))
    folder = path.parent
    return Extension(
        f"toxvpn._native.{name}",
        [
            f"{path}.pyx",
            *(str(Path(NATIVE) / source if "/" in source else folder / source) for source in c_sources),
        ],
        include_dirs=[f"{NATIVE}/net", f"{NATIVE}/path"],
        depends=[str(header) for header in Path(NATIVE).rglob("*.h")],
        libraries=libraries or [],
        extra_compile_args=FLAGS,
    )


def extensions() -> list[Extension]:
    from Cython.Build import cythonize

    return cythonize(
        [
            extension(
                "net.netio",
                "importpatch.c",
                "hooks.c",
                "sendbatch.c",
                "sendroom.c",
                "recvbatch.c",
                "pagelock.c",
            ),
            extension("toxcore", libraries=["toxcore"]),
            extension("wakeups"),
            extension("path.carrier"),
            extension("path.toxcarrier"),
            extension(
                "path.datapath",
                "path.c",
                "outbound.c",
                "inbound.c",
                "coalesce.c",
                "cut.c",
                "device.c",
                "packet.c",
                "prefixes.c",
                "flowqueue.c",
                "backlog.c",
                libraries=["m"],
            ),
            extension("path.queues", "flowqueue.c", "net/sendroom.c", libraries=["m"]),
        ],
        build_dir="build/cython",
        compiler_directives={
            "language_level": 3,
            "boundscheck": False,
            "wraparound": False,
            "cdivision": True,
        },
    )


setup(ext_modules=extensions(), cmdclass={"build_ext": Build})
