"""Unpacks the newest rivals that Debian has in a folder of their own, for vpn.py; nothing is installed.

    sudo .venv/bin/python -m bench.newest --folder /var/tmp/rivals [--suite trixie]
    sudo env PATH=/var/tmp/rivals/bin:$PATH .venv/bin/python -m bench.vpn

From the Debian mirror that this machine uses, checked by Debian's keys. They come with the libraries they
were built with, and are started by the C library's loader among these.
"""

import argparse
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

PROGRAMS: Mapping[str, tuple[str, ...]] = {
    "openvpn": ("usr/sbin/openvpn",),
    "wireguard-tools": ("usr/bin/wg",),
    "wireguard-go": ("usr/bin/wireguard-go",),
    "tinc": ("usr/sbin/tincd",),
    "nebula": ("usr/bin/nebula", "usr/bin/nebula-cert"),
}
"""Of each Debian package."""
KEYS = "/usr/share/keyrings/debian-archive-keyring.gpg"
MIRROR = ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages", "Label: Debian"]


def fetch(folder: Path, mirror: str, suite: str) -> list[Path]:
    """Downloads the packages, with all that they depend on, and returns the files."""
    state, status = folder / "apt", folder / "apt/status"
    for each in ("lists/partial", "archives/partial"):
        state.joinpath(each).mkdir(parents=True, exist_ok=True)
    status.touch()  # nothing is installed there
    state.joinpath("sources.list").write_text(f"deb [signed-by={KEYS}] {mirror} {suite} main\n")
    state.joinpath("apt.conf").write_text(
        f"""
Dir::State "{state}";
Dir::State::status "{status}";
Dir::Cache "{state}";
Dir::Etc::sourcelist "{state}/sources.list";
Dir::Etc::sourceparts "-";
APT::Install-Recommends "false";
APT::Sandbox::User "root";
Debug::NoLocking "true";
"""
    )
    environment = {**os.environ, "APT_CONFIG": str(state / "apt.conf")}
    for words in (["update"], ["install", "--download-only", "--yes", *PROGRAMS]):
        subprocess.run(["apt-get", "-qq", *words], env=environment, check=True)
    return sorted(state.joinpath("archives").glob("*.deb"))


def unpack(folder: Path, packages: list[Path]) -> None:
    for package in packages:
        subprocess.run(["dpkg-deb", "-x", package, folder], check=True)
    programs = folder / "bin"
    programs.mkdir(exist_ok=True)
    [loader] = folder.glob("usr/lib/*-linux-gnu*/ld-linux-*.so.*")
    for name in (name for names in PROGRAMS.values() for name in names):
        program = programs / Path(name).name
        program.write_text(
            f"#!/bin/sh\n"
            f'exec "{loader}" --library-path "{loader.parent}" --argv0 "$0" "{folder / name}" "$@"\n'
        )
        program.chmod(0o755)
        print(program)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, required=True, help="where to; need not be there yet")
    parser.add_argument("--suite", default="sid", help="default %(default)s")
    given = parser.parse_args()
    mirrors = subprocess.run(MIRROR, capture_output=True, text=True, check=True).stdout.split()
    if not mirrors:
        parser.exit(1, "this machine's apt knows no Debian mirror\n")
    folder = given.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    unpack(folder, fetch(folder, mirrors[0], given.suite))


if __name__ == "__main__":
    main()
