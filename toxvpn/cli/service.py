"""`toxvpn service install` and `remove`: systemd's units for this installation.

In: the units in systemd/ of the package. Out: the same in /etc/systemd/system, with the path of this
installation in them; and an initial configuration, if there is none. A Debian package brings both itself.
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
from ..state.places import SERVICE_CONFIG, SERVICE_DATA, SERVICE_RUNTIME
from .config_flag import FILE_NAME
from .down import clear_leftovers
from .shared import SHARED, Settings, need_verb, takes

SHIPPED = Path(__file__).parents[1] / "systemd"
UNITS = ("toxvpn.service", "toxvpn@.service")
UNIT_DIRECTORY = Path("/etc/systemd/system")
PACKAGED = Path("/usr/lib/systemd/system", UNITS[0])
"""The unit of a distribution's package, which one in UNIT_DIRECTORY would override for ever."""
RUNNING_SYSTEMD = Path("/run/systemd/system")  # sd_booted(3)
PROGRAM = "/usr/bin/toxvpn"

HIDDEN = (Path("/home"), Path("/root"), Path("/run/user"))
"""The directories that ProtectHome hides from the service."""
SHOWING = "ProtectHome=tmpfs\nTemporaryFileSystem=/root:mode=0755\nBindReadOnlyPaths={}\n"
"""Replaces them with empty ones that contain these directories. systemd makes even an empty /root private."""
PRIVATE_TMP = (Path("/tmp"), Path("/var/tmp"))
"""The directories that PrivateTmp replaces."""
ELSEWHERE = "install toxvpn for all users, such as in a virtual environment in /opt/toxvpn"
PLAIN_PATH = re.compile(r"[A-Za-z0-9/._+@-]+")  # others need quoting, and each directive has its own rules


@click.group("service", invoke_without_command=True)
@click.pass_context
def command(ctx: click.Context) -> None:
    """Install toxvpn as a systemd service, or remove it."""
    need_verb(ctx)


@command.command("install")
@takes(SHARED)
@click.pass_obj
def install(settings: Settings) -> None:
    """Write the units toxvpn.service and toxvpn@.service, and a configuration if there is none."""
    settings.begin()
    if settings.directory is not None or settings.nodes_file is not None:
        raise UsageError(
            f"the service has its own directories, and its nodes are set in {SERVICE_CONFIG / FILE_NAME}: "
            "leave -C and -b out; for more networks use toxvpn@NAME"
        )
    if PACKAGED.exists():
        raise ToxvpnError(
            f"a package has installed the service ({PACKAGED}): edit {SERVICE_CONFIG / FILE_NAME}, "
            "then run `systemctl enable --now toxvpn`"
        )
    units = {name: adapt_unit(SHIPPED.joinpath(name).read_text()) for name in UNITS}
    try:
        for name, text in units.items():
            write_atomic(UNIT_DIRECTORY / name, text.encode(), 0o644)
        make_configuration(SERVICE_CONFIG)
    except NoPermissionError as error:
        raise NoPermissionError(f"{error}: that needs root (sudo toxvpn service install)") from None
    running = run_systemctl("daemon-reload")
    click.echo(
        f"{' and '.join(UNITS)} are in {UNIT_DIRECTORY}{'' if running else '; systemd is not running'}"
    )
    click.echo(f"next: edit {SERVICE_CONFIG / FILE_NAME}, then systemctl enable --now toxvpn")


@command.command("remove")
@takes(SHARED)
@click.pass_obj
def remove(settings: Settings) -> None:
    """Stop the services and remove their units. The configuration and the identity stay."""
    settings.begin()
    found = [UNIT_DIRECTORY / name for name in UNITS if (UNIT_DIRECTORY / name).exists()]
    if not found:
        raise ToxvpnError(
            f"there is no {' or '.join(UNITS)} in {UNIT_DIRECTORY}: the service is not installed"
        )
    run_systemctl("stop", "toxvpn.service", "toxvpn@*.service")
    run_systemctl("disable", *UNITS)
    clear_leftovers(SERVICE_RUNTIME)
    for path in found:
        try:
            path.unlink()
        except PermissionError:
            raise NoPermissionError(
                f"cannot remove {path}: that needs root (sudo toxvpn service remove)"
            ) from None
    run_systemctl("daemon-reload")
    names = " and ".join(path.name for path in found)
    click.echo(f"removed {names}; kept {SERVICE_CONFIG} and {SERVICE_DATA}, with the identity")


# -- the unit for this installation -------------------------------------------------------------------


def adapt_unit(unit: str) -> str:
    """Puts this installation's program into the unit. Raises ToxvpnError if the service cannot read it."""
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
    """The directories that the program needs, besides the system's own."""
    trees = {Path(sys.prefix), Path(sys.base_prefix), SHIPPED.parents[1]}
    return sorted(tree for tree in trees if tree != Path("/usr"))


def check_readable(tree: Path) -> None:
    """Raises ToxvpnError unless every user can read the directory, once it is not hidden."""
    if not PLAIN_PATH.fullmatch(str(tree)):
        raise ToxvpnError(f"{tree} has unusual characters: {ELSEWHERE}")
    if is_below(tree, PRIVATE_TMP):
        raise ToxvpnError(f"{tree} is hidden from services: {ELSEWHERE}")
    if site.ENABLE_USER_SITE and tree == Path(site.getusersitepackages()):
        raise ToxvpnError(f"{tree} belongs to one user: {ELSEWHERE}")
    above = [] if is_below(tree, HIDDEN) else tree.parents
    for place in (tree, *above):
        needed = 0o005 if place == tree else 0o001
        if place.stat().st_mode & needed != needed:
            raise ToxvpnError(f"{place} cannot be read by the service, which has its own user: {ELSEWHERE}")


def is_below(path: Path, places: Iterable[Path]) -> bool:
    return any(path.is_relative_to(place) for place in places)


# -- configuration and systemd --------------------------------------------------------------------


def make_configuration(directory: Path) -> None:
    """Writes the initial configuration unless there is one. Raises NoPermissionError, ToxvpnError."""
    directory.mkdir(mode=0o755, exist_ok=True)
    secrets = directory / "secrets"
    secrets.mkdir(exist_ok=True)
    secrets.chmod(0o700)
    path = directory / FILE_NAME
    if not path.exists():
        write_atomic(path, SHIPPED.joinpath(FILE_NAME).read_bytes(), 0o644)


def run_systemctl(*words: str) -> bool:
    """Returns whether systemd is running and the command succeeded."""
    if not RUNNING_SYSTEMD.is_dir():
        return False
    return subprocess.run(["systemctl", "--quiet", *words], check=False).returncode == 0
