"""Makes the source distribution, and from it a wheel for each architecture with the libraries inside.

Called by scripts/wheels, in an environment of its own.
"""

import argparse
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Mapping
from pathlib import Path

from libraries import Target, compile_libraries
from sources import HERE, pinned, prepare, unpack

ROOT = HERE.parent.parent
WORK = ROOT / "build/wheels"
DIST = ROOT / "dist"
OLDEST_PYTHON = "cp311"
BUILD = (sys.executable, "-m", "build", "--no-isolation")
ARCHITECTURES = ("x86_64", "aarch64")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("arch", nargs="*", default=ARCHITECTURES, help="x86_64, aarch64; default: both")
    wanted = parser.parse_args().arch
    if unknown := set(wanted) - set(ARCHITECTURES):
        raise SystemExit(f"there are wheels for {', '.join(ARCHITECTURES)}, not for {', '.join(unknown)}")
    say("the sources of the libraries")
    trees = prepare(WORK / "archives", WORK / "sources")
    say("the source distribution")
    sdist = make_sdist()
    for arch in wanted:
        target = Target(arch, WORK / arch)
        say(f"{arch}: the libraries")
        compile_libraries(target, trees)
        say(f"{arch}: the wheel")
        bundle(make_wheel(target, sdist, trees), target)
    for made in sorted(DIST.iterdir()):
        say(f"dist/{made.name}: {made.stat().st_size / 1e6:.2f} MB")


def say(text: str) -> None:
    print(f"wheels: {text}", flush=True)


def call(*command: str | Path, env: Mapping[str, str] = os.environ, cwd: Path = ROOT) -> None:
    """What it prints is shown only if it fails."""
    ran = subprocess.run(command, check=False, cwd=cwd, env=env, capture_output=True, text=True)
    if ran.returncode != 0:
        raise SystemExit(f"{ran.stdout}{ran.stderr}\n{' '.join(map(str, command))} failed")


def make_sdist() -> Path:
    for old in (*DIST.glob("toxvpn-*.whl"), *DIST.glob("toxvpn-*.tar.gz")):
        old.unlink()
    call(*BUILD, "--sdist", "-o", DIST)
    (sdist,) = DIST.glob("*.tar.gz")
    return sdist


def python_headers(target: Target) -> Path:
    """This Python's headers with the configuration itself as pyconfig.h, where Debian chooses by processor.

    What the limited API reads in it, the sizes of C types, both architectures have in common.
    """
    headers = target.work / "python"
    shutil.rmtree(headers, ignore_errors=True)
    shutil.copytree(sysconfig.get_path("include"), headers)
    own = Path("/usr/include", str(sysconfig.get_config_var("MULTIARCH")), headers_name(), "pyconfig.h")
    if own.exists():
        shutil.copy(own, headers / "pyconfig.h")
    return headers


def headers_name() -> str:
    return Path(sysconfig.get_path("include")).name


def make_wheel(target: Target, sdist: Path, trees: dict[str, Path]) -> Path:
    """The wheel without the libraries, but with their licences."""
    tree = unpack(sdist, target.work / "toxvpn")
    flags = f"-I{python_headers(target)} -I{target.prefix}/include"
    environment = target.environment() | {
        "LDSHARED": f"{target.compiler} -shared -s",
        "LDFLAGS": f"-L{target.prefix}/lib",
        "_PYTHON_HOST_PLATFORM": f"linux-{target.arch}",
    }
    environment["CC"] += f" {flags} -L{target.prefix}/lib"
    environment["CFLAGS"] += " -DNDEBUG -fwrapv"
    out = target.work / "wheel"
    shutil.rmtree(out, ignore_errors=True)
    limited = f"-C--build-option=--py-limited-api={OLDEST_PYTHON}"
    call(*BUILD, "--wheel", limited, "-o", out, env=environment, cwd=tree)
    (wheel,) = out.glob("*.whl")
    return add_licences(wheel, target, trees)


def add_licences(wheel: Path, target: Target, trees: dict[str, Path]) -> Path:
    """Those of the libraries inside, and where their sources are."""
    folder = target.work / "unpacked"
    shutil.rmtree(folder, ignore_errors=True)
    call("wheel", "unpack", wheel, "-d", folder)
    (info,) = folder.glob("*/*.dist-info")
    licences = {
        "libsodium-LICENSE": (trees["libsodium"] / "LICENSE").read_text(),
        "libtoxcore-LICENSE": (trees["libtoxcore"] / "LICENSE").read_text(),
        "libtoxcore-copyright": (trees["libtoxcore-debian"] / "copyright").read_text(),
        "SOURCES": where_the_sources_are(),
    }
    for name, text in licences.items():
        (info / "licenses" / name).write_text(text)
    metadata = info / "METADATA"
    first = "License-File: LICENSE\n"
    lines = first + "".join(f"License-File: {name}\n" for name in licences)
    metadata.write_text(metadata.read_text().replace(first, lines, 1))
    wheel.unlink()
    call("wheel", "pack", info.parent, "-d", wheel.parent)
    return wheel


def where_the_sources_are() -> str:
    lines = [
        "The libraries in toxvpn.libs were compiled by scripts/wheels of toxvpn's source distribution, with",
        "the patches in its folder packaging/wheel, from these archives:",
    ]
    for source in pinned().values():
        places = [f"  {url}" for url in source["urls"]]
        lines += ["", source["file"], f"  SHA-256 {source['sha256']}", *places]
    return "\n".join(lines) + "\n"


def bundle(wheel: Path, target: Target) -> None:
    """Put the libraries inside under names of their own, and the result into dist/.

    auditwheel finds out which glibc the wheel needs; it knows the names for this machine's architecture only.
    """
    environment = os.environ | {"LD_LIBRARY_PATH": str(target.prefix / "lib")}
    call("auditwheel", "repair", "--plat", "auto", "-w", DIST, wheel, env=environment)


if __name__ == "__main__":
    main()
