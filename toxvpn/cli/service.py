"""`toxvpn service install` and `remove`: systemd's units for this installation, wherever it is.

In: the units in systemd/ beside the package. Out: the same in /etc/systemd/system, with the path of this
installation in them; and a configuration to begin with, if there is none.
"""

import re
import site
import subprocess
import sys
import sysconfig
from collections.abc import Iterable
from pathlib import Path

import click

from ..errors import NoPermissionError, ToxvpnError, UsageError
from ..state.files import write_atomic
from ..state.places import SERVICE_CONFIG, SERVICE_DATA
from .config_flag import FILE_NAME
from .shared import SHARED, Settings, takes

SHIPPED = Path(__file__).parents[1] / "systemd"
UNITS = ("toxvpn.service", "toxvpn@.service")
UNIT_DIRECTORY = Path("/etc/systemd/system")
RUNNING_SYSTEMD = Path("/run/systemd/system")  # sd_booted(3)
PROGRAM = "/usr/bin/toxvpn"

HIDDEN = (Path("/home"), Path("/root"), Path("/run/user"))
"""What ProtectHome takes out of the service's sight."""
SHOWING = "ProtectHome=tmpfs\nTemporaryFileSystem=/root:mode=0755\nBindReadOnlyPaths={}\n"
"""In their place: empty ones with these directories. systemd makes /root private, also an empty one."""
NOT_ITS_OWN = (Path("/tmp"), Path("/var/tmp"))
"""What PrivateTmp replaces."""
ELSEWHERE = "install toxvpn for all users, such as in a virtual environment in /opt/toxvpn"
PLAIN_PATH = re.compile(r"[A-Za-z0-9/._+@-]+")  # others need quoting, and each directive has its own rules

CONFIG = """\
# What the service does. Check it with `toxvpn config check`, apply it with `systemctl reload toxvpn`.
# All that can stand here: docs/configuration.md.

# let peers reach what this machine can reach
[server]
# allow = ["localhost:22"]
# secret_file = "secrets/server"  # without it one is made: /var/lib/toxvpn/secret

# be on a network with the peers
# [vpn]

# [peers.laptop]
# id = "(what `toxvpn id` prints there)"
"""


@click.group("service")
def command() -> None:
    """Install toxvpn as a systemd service, or remove it."""


@command.command("install")
@takes(SHARED)
@click.pass_obj
def install(settings: Settings) -> None:
    """Write the units toxvpn.service and toxvpn@.service, and a configuration if there is none."""
    settings.begin()
    if settings.directory is not None or settings.nodes_file is not None:
        raise UsageError(
            f"the service has directories of its own and finds its nodes in {SERVICE_CONFIG / FILE_NAME}: "
            "leave -C and -b out; toxvpn@NAME is for further networks"
        )
    units = {name: fitted(SHIPPED.joinpath(name).read_text()) for name in UNITS}
    try:
        for name, text in units.items():
            write_atomic(UNIT_DIRECTORY / name, text.encode(), 0o644)
        make_configuration(SERVICE_CONFIG)
    except NoPermissionError as error:
        raise NoPermissionError(f"{error}: that takes root (sudo toxvpn service install)") from None
    running = tell_systemd("daemon-reload")
    click.echo(f"{' and '.join(UNITS)} are in {UNIT_DIRECTORY}{'' if running else '; systemd does not run'}")
    click.echo(f"next: edit {SERVICE_CONFIG / FILE_NAME}, then systemctl enable --now toxvpn")


@command.command("remove")
@takes(SHARED)
@click.pass_obj
def remove(settings: Settings) -> None:
    """Stop the services and remove their units. The configuration and the identity stay."""
    settings.begin()
    found = [UNIT_DIRECTORY / name for name in UNITS if (UNIT_DIRECTORY / name).exists()]
    if not found:
        raise ToxvpnError(f"there is no {' or '.join(UNITS)} in {UNIT_DIRECTORY}: nothing is installed")
    tell_systemd("stop", "toxvpn.service", "toxvpn@*.service")
    tell_systemd("disable", *UNITS)
    for path in found:
        try:
            path.unlink()
        except PermissionError:
            raise NoPermissionError(
                f"cannot remove {path}: that takes root (sudo toxvpn service remove)"
            ) from None
    tell_systemd("daemon-reload")
    names = " and ".join(path.name for path in found)
    click.echo(f"{names} removed; {SERVICE_CONFIG} and {SERVICE_DATA}, with the identity, stay")


# -- the unit for this installation -------------------------------------------------------------------


def fitted(unit: str) -> str:
    """With this installation's program, which the service must be able to read. Raises ToxvpnError."""
    trees = installation()
    for tree in trees:
        check_readable(tree)
    hidden = [str(tree) for tree in trees if is_below(tree, HIDDEN)]
    if hidden:
        unit = unit.replace("ProtectHome=yes\n", SHOWING.format(" ".join(hidden)))
    return unit.replace(PROGRAM, program())


def program() -> str:
    script = Path(sysconfig.get_path("scripts"), "toxvpn")
    return str(script) if script.exists() else f"{sys.executable} -P -m toxvpn"


def installation() -> list[Path]:
    """The directories that running it takes, beside the system's own."""
    trees = {Path(sys.prefix), Path(sys.base_prefix), SHIPPED.parents[1]}
    return sorted(tree for tree in trees if tree != Path("/usr"))


def check_readable(tree: Path) -> None:
    """Raises ToxvpnError unless any user can read the directory, once it is not hidden."""
    if not PLAIN_PATH.fullmatch(str(tree)):
        raise ToxvpnError(f"{tree} has unusual characters: {ELSEWHERE}")
    if is_below(tree, NOT_ITS_OWN):
        raise ToxvpnError(f"{tree} is hidden from services: {ELSEWHERE}")
    if site.ENABLE_USER_SITE and tree == Path(site.getusersitepackages()):
        raise ToxvpnError(f"{tree} is one user's alone: {ELSEWHERE}")
    above = [] if is_below(tree, HIDDEN) else tree.parents
    for place in (tree, *above):
        needed = 0o005 if place == tree else 0o001
        if place.stat().st_mode & needed != needed:
            raise ToxvpnError(f"{place} cannot be read by the service, a user of its own: {ELSEWHERE}")


def is_below(path: Path, places: Iterable[Path]) -> bool:
    return any(path.is_relative_to(place) for place in places)


# -- around it ----------------------------------------------------------------------------------------


def make_configuration(directory: Path) -> None:
    """Leaves alone what is there. Raises NoPermissionError, ToxvpnError."""
    directory.mkdir(mode=0o755, exist_ok=True)
    directory.joinpath("secrets").mkdir(mode=0o755, exist_ok=True)  # as ConfigurationDirectory= has it
    path = directory / FILE_NAME
    if not path.exists():
        write_atomic(path, CONFIG.encode(), 0o644)


def tell_systemd(*words: str) -> bool:
    """Whether systemd runs here and could do it."""
    if not RUNNING_SYSTEMD.is_dir():
        return False
    return subprocess.run(["systemctl", "--quiet", *words], check=False).returncode == 0
