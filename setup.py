"""Builds the compiled modules; says in one sentence what is missing when they cannot be built.

An editable installation (`pip install -e`) and `setup.py build_ext --inplace` are for development: they get
the compiled fakes of toxvpn/testing too. A wheel has nothing of toxvpn/testing. With bdist_wheel's option
`--py-limited-api=cp311` (scripts/wheels), one wheel is for all versions of Python from that one on.
"""

import os
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
LIMITED = ("Py_LIMITED_API", "0x030b0000")  # what Python 3.11 and every later one has
FLAGS = ["-O2", "-fno-strict-aliasing", "-Wall", "-Wno-unused-function"]

CRYPTO = [
    "crypto/choice.c",
    "crypto/box.c",
    "crypto/subkeys.c",
    "crypto/kernels.c",
    "crypto/salsa20_portable.c",
    "crypto/salsa20_avx2.c",
    "crypto/poly1305_portable.c",
    "crypto/poly1305_avx2.c",
    "crypto/salsa20_avx512.c",
    "crypto/poly1305_ifma.c",
    "crypto/salsa20_neon.c",
    "crypto/poly1305_neon.c",
]


def missing() -> list[str]:
    """What the build needs and this machine lacks."""
    compiler = (os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc").split()[0]
    found = []
    if not (shutil.which(compiler) or shutil.which("cc") or shutil.which("gcc")):
        found.append("a C compiler")
    if not Path(sysconfig.get_path("include"), "Python.h").exists():
        found.append("Python.h")
    return found


class Build(build_ext):
    def finalize_options(self) -> None:
        if self.inplace or self.editable_mode:
            self.distribution.ext_modules = translated(product() + testing())
        super().finalize_options()
        wheel = self.distribution.get_command_obj("bdist_wheel", create=False)
        if wheel is not None and wheel.py_limited_api:
            for each in self.extensions:
                each.py_limited_api = True
                each.define_macros.append(LIMITED)

    def build_extensions(self) -> None:
        lacking = missing()
        if not lacking and not self._has_toxcore():
            lacking.append("tox/tox.h or libtoxcore.so")
        if lacking:
            sys.exit(f"Missing: {', '.join(lacking)}. {NEEDED}")
        super().build_extensions()

    def _has_toxcore(self) -> bool:
        """Compile and link a one-line program, as the real build will."""
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
    """The module of the .pyx file that its dotted `name` says; the C files are named from _native."""
    return Extension(
        name,
        [f"{name.replace('.', '/')}.pyx", *(f"{NATIVE}/{source}" for source in c_sources)],
        include_dirs=[NATIVE, f"{NATIVE}/net", f"{NATIVE}/path", f"{NATIVE}/crypto"],
        depends=[str(header) for header in Path(NATIVE).rglob("*.h")],
        libraries=libraries or [],
        extra_compile_args=FLAGS,
    )


def product() -> list[Extension]:
    return [
        extension(
            "toxvpn._native.net.netio",
            "net/importpatch.c",
            "net/install.c",
            "net/owner.c",
            "net/sockets.c",
            "net/hooks.c",
            "net/streamhooks.c",
            "net/clock.c",
            "net/kernel.c",
            "net/sendbatch.c",
            "net/sendroom.c",
            "net/recvbatch.c",
            "net/fairshare.c",
            "net/sieve.c",
            "net/streambuf.c",
            "net/sightings.c",
            "net/inject.c",
            "net/detour.c",
            "net/overheard.c",
            "net/doors.c",
            "net/nat64.c",
            "net/twins.c",
            "net/quick.c",
            "net/announced.c",
            "net/early.c",
            "net/introduce.c",
            "net/pagelock.c",
            "net/scratch.c",
            "crypto/boxhook.c",
            *CRYPTO,
        ),
        extension("toxvpn._native.net.datagrams", "net/gather.c"),
        extension("toxvpn._native.toxcore", libraries=["toxcore"]),
        extension("toxvpn._native.wakeups"),
        extension("toxvpn._native.path.carrier"),
        extension("toxvpn._native.path.toxcarrier"),
        extension(
            "toxvpn._native.path.datapath",
            "path/path.c",
            "path/outbound.c",
            "path/inbound.c",
            "path/groups.c",
            "path/coalesce.c",
            "path/cut.c",
            "path/device.c",
            "path/packet.c",
            "path/checksum.c",
            "path/prefixes.c",
            "path/policy.c",
            "path/flowtable.c",
            "path/flowqueue.c",
            "path/backlog.c",
            "path/held.c",
            "path/bundle.c",
            libraries=["m"],
        ),
    ]


def testing() -> list[Extension]:
    return [
        extension("toxvpn.testing.memory_carrier"),
        extension(
            "toxvpn.testing.native_units",
            "path/prefixes.c",
            "path/packet.c",
            "path/checksum.c",
            "path/policy.c",
            "path/flowtable.c",
            "path/flowqueue.c",
            "net/sendroom.c",
            libraries=["m"],
        ),
    ]


def translated(extensions: list[Extension]) -> list[Extension]:
    """From Cython to C, in a folder of its own."""
    from Cython.Build import cythonize

    return cythonize(
        extensions,
        build_dir="build/cython",
        compiler_directives={
            "language_level": 3,
            "boundscheck": False,
            "wraparound": False,
            "cdivision": True,
            "autotestdict": False,  # no __test__ in the modules
        },
    )


setup(ext_modules=translated(product()), cmdclass={"build_ext": Build})
