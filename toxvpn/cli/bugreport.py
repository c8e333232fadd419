"""`toxvpn bugreport`: prints what a maintainer asks for first, without private data (redact.py)."""

import json
import os
import platform
import stat
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import click

from ..errors import ToxvpnError
from . import redact
from .ask import ask, print_note
from .shared import SHARED, Settings, takes
from .version import version_text

LIBRARIES = ("click", "netifaces2", "platformdirs", "prometheus-client", "pyroute2", "rich", "segno")
DEVICE = Path("/dev/net/tun")
SYSCTLS = (
    "kernel/unprivileged_userns_clone",
    "kernel/apparmor_restrict_unprivileged_userns",
    "user/max_user_namespaces",
    "net/ipv6/conf/all/disable_ipv6",
    "net/ipv4/tcp_available_congestion_control",
)
FILES = (
    "config.toml",
    "tox_save",
    "lock",
    "secret",
    "friends.json",
    "peers.json",
    "invites.json",
    "blocked.json",
    "met.json",
    "control.sock",
    "streams2.sock",
    "files2.sock",
    "network.journal",
    "shared.log",
)
VARIABLE = "TOXVPN_"


@click.command("bugreport")
@takes(SHARED)
@click.pass_obj
def command(settings: Settings) -> None:
    """Print what a bug report needs: versions, system, files, and the state of the running toxvpn.

    Secrets, names and addresses are left out, and keys shortened; check the output all the same.
    """
    settings.begin()
    lines = [line for part in (versions(), system(), files(settings), running(settings)) for line in part]
    click.echo(redact.text("\n".join(lines), str(Path.home())))
    print_note(
        settings, "check this before you send it; `toxvpn doctor` and the failing command with -d show more"
    )


def versions() -> Iterator[str]:
    yield "## versions"
    try:
        yield version_text()
    except ImportError as error:  # many reports are about a broken build
        yield f"the compiled parts do not load: {error}"
    yield ", ".join(f"{name} {installed(name)}" for name in LIBRARIES)


def installed(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "(missing)"


def system() -> Iterator[str]:
    yield "\n## system"
    try:
        name = platform.freedesktop_os_release().get("PRETTY_NAME", "")
    except OSError:
        name = ""
    yield f"{platform.system()} {platform.release()} {platform.machine()}, {name or 'unknown distribution'}"
    yield "as root" if os.geteuid() == 0 else "as an ordinary user"
    yield describe_file(DEVICE, str(DEVICE))
    for sysctl in SYSCTLS:
        try:
            value = Path("/proc/sys", sysctl).read_text().strip()
        except OSError:
            continue
        yield f"{sysctl.replace('/', '.')} = {value}"
    ours = sorted(key for key in os.environ if key.startswith(VARIABLE))
    yield f"set in the environment: {', '.join(ours) or f'no {VARIABLE}*'}"


def files(settings: Settings) -> Iterator[str]:
    yield "\n## files"
    places = settings.places
    for directory in dict.fromkeys((places.config, places.data, places.state, places.runtime)):
        yield describe_file(directory, str(directory))
        for name in FILES:
            if (directory / name).exists():
                yield "  " + describe_file(directory / name, name)


def describe_file(path: Path, name: str) -> str:
    """Describes a file by its mode, owner and size, without its content."""
    try:
        found = path.lstat()
    except OSError as error:
        return f"{name}: {error.strerror}"
    owner = {0: "root's", os.geteuid(): "ours"}.get(found.st_uid, "another user's")
    size = f", {found.st_size} bytes" if stat.S_ISREG(found.st_mode) else ""
    return f"{name}: {stat.filemode(found.st_mode)}, {owner}{size}"


def running(settings: Settings) -> Iterator[str]:
    yield "\n## running"
    try:
        document = ask(settings, "status")
    except ToxvpnError as error:
        yield str(error)
        return
    yield json.dumps(redact.document(document), indent=1)
