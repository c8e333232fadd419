"""Proves a wheel in a bare Debian: installed by pip alone, toxvpn does its jobs, over the network of a lab.

    ROOT=DIR python -m lab.wheels [--tests] NAME FOLDER

$ROOT is that Debian, with Python and no compiler (packaging/chroot.sh), FOLDER has the wheels. Out: a line
for each check, PASS or FAIL, with sizes and times; the exit code is 1 when one has failed. This is what
scripts/check-wheels runs for each Debian.
"""

import argparse
import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from . import Host, Lab, LabError, apps, wait_until

PROJECT = Path(__file__).parents[1]
VENV = "/opt/toxvpn"
NOBODY = 65534
PAGE = os.urandom(100_000)
PORT = 8080
TEST_TOOLS = ("pytest", "pytest-asyncio", "pytest-rerunfailures", "pytest-timeout", "hypothesis", "scapy")
TESTED = ("tests/_native", "tests/wire")


class Debian:
    """The chroot. `patience` multiplies time limits: emulation is slow."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.patience = 1.0
        self.machine = self.run("uname", "-m").strip()
        self.patience = 1.0 if self.machine == os.uname().machine else 10.0

    def argv(self, *words: str, user: int = 0) -> list[str]:
        return ["chroot", f"--userspec={user}:{user}", str(self.root), *words]

    def toxvpn(self, *words: str) -> list[str]:
        return self.argv(f"{VENV}/bin/toxvpn", *words)

    def run(self, *words: str, user: int = 0, timeout_s: float = 60.0) -> str:
        """What it prints. Raises LabError."""
        ran = subprocess.run(
            self.argv(*words, user=user),
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout_s * self.patience,
        )
        if ran.returncode:
            raise LabError(f"{' '.join(words)} ended with {ran.returncode}:\n{ran.stdout}")
        return ran.stdout

    def size_mb(self, path: str) -> float:
        return int(self.run("du", "-sb", path).split()[0]) / 1e6


class Checks:
    def __init__(self, name: str) -> None:
        self.name = name
        self.failed = False

    @contextlib.contextmanager
    def check(self, what: str) -> Iterator[list[str]]:
        """Passes unless the block raises; it may add details to the list."""
        details: list[str] = []
        began_s = time.monotonic()
        try:
            yield details
        except (LabError, OSError, subprocess.TimeoutExpired, AssertionError) as failure:
            self.failed = True
            self._print("FAIL", what, str(failure))
        else:
            took = f"{time.monotonic() - began_s:.1f} s"
            self._print("PASS", what, ", ".join([took, *details]))

    def _print(self, verdict: str, what: str, details: str) -> None:
        print(f"{verdict}  {self.name}: {what}: {details}", flush=True)  # noqa: T201


# -- one check each -------------------------------------------------------------------------------


def install(debian: Debian, wheel: Path) -> list[str]:
    copied = debian.root / wheel.name
    shutil.copy(wheel, copied)
    debian.run("python3", "-m", "venv", VENV)
    debian.run(f"{VENV}/bin/pip", "install", "--no-cache-dir", "--only-binary", ":all:", f"/{wheel.name}",
               timeout_s=120.0)  # fmt: skip
    packages = debian.run("sh", "-c", f"echo {VENV}/lib/python3*/site-packages").strip()
    own = sum(debian.size_mb(str(path)) for path in own_folders(debian, packages))
    return [
        debian.run("python3", "-V").strip(),
        f"wheel {wheel.stat().st_size / 1e6:.1f} MB",
        f"installed {own:.1f} MB, {debian.size_mb(packages):.1f} MB with its dependencies and pip",
    ]


def own_folders(debian: Debian, packages: str) -> list[str]:
    inside = debian.root / packages.lstrip("/")
    return [f"{packages}/{path.name}" for path in inside.glob("toxvpn*")]


def version(debian: Debian) -> list[str]:
    text = debian.run(f"{VENV}/bin/toxvpn", "-V")
    assert "not in force" not in text, text
    missing = {"sockets", "batch", "clock", "page lock", "crypto", "reunion", "shield"} - set(
        re.findall(r"^([a-z ]+): ", text, re.M)
    )
    assert missing <= {"shield"}, text  # a library without the flaw needs none
    return [line for line in text.splitlines() if line.startswith(("libtoxcore", "shield"))]


def trial(debian: Debian, user: int) -> list[str]:
    told = debian.run(f"{VENV}/bin/toxvpn", "try", user=user)
    found = re.search(r"it took the (\w+ road).*\n\nIt works, and took ([\d.]+ s)", told, re.S)
    assert found, told
    place = "in two namespaces" if "network namespaces, and a cable" in told else "on loopback"
    return [f"{found[2]} in its own words", place, found[1]]


def forward(debian: Debian, lab: Lab, server: Host, laptop: Host) -> list[str]:
    """A page through -L, from behind one NAT to behind another; and how long the first byte took."""
    page = server.directory / "page"
    page.write_bytes(PAGE)
    apps.http_server(server, server.directory, bind="127.0.0.1")
    env = {"TOXVPN_SHARED_SECRET": "of the check"}
    began_s = time.monotonic()
    serving = server.popen(debian.toxvpn("-C", "/srv/server", "-b", "/nodes.json"), env=env,
                           stdout=subprocess.PIPE, stderr=log(server, "server"))  # fmt: skip
    assert serving.stdout is not None
    tox_id = serving.stdout.readline().decode().strip()
    words = ("-b", "/nodes.json", "-i", tox_id, "--no-share", "-L", f"{PORT}:localhost:{apps.HTTP_PORT}")
    calling = laptop.popen(debian.toxvpn(*words), env=env, stderr=log(laptop, "laptop"))
    try:
        apps.wait_listening(calling, PORT, 10.0 * debian.patience)
        url = f"http://127.0.0.1:{PORT}/page"
        curl = ["curl", "-sS", "-o", str(laptop.directory / "page"), "-w", "%{time_starttransfer}", url]
        connecting_s = time.monotonic() - began_s
        first_byte_s = connecting_s + float(laptop.run(curl, timeout_s=60.0 * debian.patience).stdout)
        assert (laptop.directory / "page").read_bytes() == PAGE
        road = re.search(r"streams take the (\w+ road)", (laptop.directory / "laptop.log").read_text())
    except (LabError, AssertionError) as failure:
        raise LabError(f"{failure}\n{logs(server, 'server')}\n{logs(laptop, 'laptop')}") from None
    finally:
        laptop.stop(calling)
        server.stop(serving)
    return [f"first byte {first_byte_s:.1f} s after both were started", road[1] if road else "road unknown"]


def network(debian: Debian, hosts: Sequence[Host]) -> list[str]:
    """Both run `up`, and reach each other's addresses."""
    ids = {host: debian_id(debian, host) for host in hosts}
    running = []
    try:
        for host, other in (hosts, reversed(hosts)):
            words = node(host, "up", "--peer", ids[other])
            running.append((host, host.popen(debian.toxvpn(*words), stderr=log(host, "up"))))
        for host in hosts:
            up = host.directory / "up.log"
            wait_until(lambda: " is up: " in up.read_text(), "network", 20 * debian.patience)  # noqa: B023
            wait = node(host, "wait", "--timeout", str(45 * debian.patience))
            host.run(debian.toxvpn(*wait), timeout_s=60.0 * debian.patience)
        for host, other in (hosts, reversed(hosts)):
            own = status(debian, other)["self"]
            for address in (own["ipv4"], own["ipv6"]):
                wait_until(lambda: host.ping(address), f"answer from {address} to {host.name}", 20)  # noqa: B023
        path = status(debian, hosts[0])["peers"][0]["path"]
    except LabError as failure:
        raise LabError("\n".join([str(failure), *(logs(host, "up") for host in hosts)])) from None
    finally:
        for host, process in running:
            host.stop(process, grace_s=10.0 * debian.patience)
    return ["pings over IPv4 and IPv6", f"path {path}"]


def unit_tests(debian: Debian) -> list[str]:
    """The tests of the compiled parts and of the formats, with the installed wheel."""
    (packages,) = debian.root.joinpath(VENV.lstrip("/"), "lib").glob("python3*/site-packages")
    shutil.copytree(PROJECT / "toxvpn/testing", packages / "toxvpn/testing")
    for path in ("tests", "pyproject.toml"):
        copy = shutil.copytree if (PROJECT / path).is_dir() else shutil.copy
        copy(PROJECT / path, debian.root / "srv" / path)
    debian.run(f"{VENV}/bin/pip", "install", "-q", *TEST_TOOLS, timeout_s=120.0)
    # the stranger of the shield's tests makes its datagrams by a libsodium that is not the wheel's
    debian.run("sh", "-c", "apt-get update -q && apt-get install -y -q libsodium-dev", timeout_s=120.0)
    left_out = need_a_compiler()
    words = [*TESTED, *(f"--ignore={path}" for path in left_out)]
    command = f"cd /srv && {VENV}/bin/python -m pytest -q -p no:cacheprovider {' '.join(words)}"
    printed = debian.run("sh", "-c", command, timeout_s=300.0)
    return [printed.splitlines()[-1], f"without {len(left_out)} files whose helpers must be compiled"]


def need_a_compiler() -> list[str]:
    """The test files that use compiled modules of toxvpn.testing, or what uses those: no wheel has them."""
    testing = PROJECT / "toxvpn/testing"
    missing = {path.stem for path in testing.glob("*.pyx")}
    missing |= {path.stem for path in testing.glob("*.py") if imports(path, missing)}
    tests = (path for folder in TESTED for path in sorted(PROJECT.glob(f"{folder}/**/*.py")))
    return [str(path.relative_to(PROJECT)) for path in tests if imports(path, missing)]


def imports(path: Path, modules: set[str]) -> bool:
    lines = [line for line in path.read_text().splitlines() if line.startswith(("from ", "import "))]
    return any(re.search(rf"\b{name}\b", line) for name in modules for line in lines)


# -- what they share ------------------------------------------------------------------------------


def node(host: Host, verb: str, *words: str) -> list[str]:
    return [verb, "-C", f"/srv/up-{host.name}", "-b", "/nodes.json", *words]


def debian_id(debian: Debian, host: Host) -> str:
    return debian.run(f"{VENV}/bin/toxvpn", *node(host, "id")).strip()


def status(debian: Debian, host: Host) -> dict[str, Any]:
    words = debian.toxvpn(*node(host, "status", "--json"))
    document: dict[str, Any] = json.loads(host.run(words, timeout_s=30.0 * debian.patience).stdout)
    return document


def log(host: Host, name: str) -> Any:
    return (host.directory / f"{name}.log").open("wb")


def logs(host: Host, name: str) -> str:
    return f"the log of {name} on {host.name}:\n{(host.directory / f'{name}.log').read_text()}"


def find_wheel(folder: Path, machine: str) -> Path:
    wheels = sorted(folder.glob(f"toxvpn-*_{machine}.whl"))
    if len(wheels) != 1:
        raise SystemExit(f"{folder} has {len(wheels)} wheels for {machine}; there must be one")
    return wheels[0]


def main() -> int:
    parser = argparse.ArgumentParser(prog="lab.wheels")
    parser.add_argument("--tests", action="store_true", help="also the unit tests of the compiled parts")
    parser.add_argument("name")
    parser.add_argument("folder", type=Path)
    given = parser.parse_args()
    debian = Debian(Path(os.environ["ROOT"]))
    wheel = find_wheel(given.folder, debian.machine)
    checks = Checks(given.name)

    began_s = time.monotonic()
    with checks.check("pip install") as details:
        details += install(debian, wheel)
    if checks.failed:
        return 1
    with checks.check("-V") as details:
        details += version(debian)
    with Lab() as lab:
        lab.bootstrap()
        server, laptop = lab.nat("office").host("server"), lab.nat("home").host("laptop")
        shutil.copy(lab.nodes_json, debian.root / "nodes.json")
        with checks.check("-L between two NATs") as details:
            details += forward(debian, lab, server, laptop)
            details.append(f"{time.monotonic() - began_s:.1f} s since the start of pip install")
        with checks.check("up between two NATs") as details:
            details += network(debian, (server, laptop))
    for name, user in (("root", 0), ("nobody, without namespaces", NOBODY)):
        with checks.check(f"try as {name}") as details:
            details += trial(debian, user)
    if given.tests:
        with checks.check(" and ".join(TESTED)) as details:
            details += unit_tests(debian)
    return int(checks.failed)


if __name__ == "__main__":
    sys.exit(main())
