"""`toxvpn id`: prints this machine's Tox ID, alone on stdout; makes an identity if there is none."""

import secrets
import time
from pathlib import Path

import click

from ..state.identity import SAVE_NAME, Identity, IdentityInUseError, damaged, read_savedata
from .shared import SHARED, Settings, takes

STARTING_S = 5.0
"""How long to wait for the identity of another process that has just locked a new directory."""


@click.command("id")
@click.option(
    "--new-nospam", is_flag=True, help="Change the ID, so that the old one is useless for new requests."
)
@takes(SHARED)
@click.pass_obj
def command(settings: Settings, new_nospam: bool) -> None:
    """Print this machine's Tox ID, making an identity if there is none.

    The ID is what others give to -i or --peer. It is not secret. If strangers use it to send requests,
    --new-nospam changes its last 12 digits: peers that are let in stay, all others need the new ID.
    """
    settings.begin()
    if new_nospam:
        change_nospam(settings.places.data)
    click.echo(tox_id(settings.places.data))


def tox_id(directory: Path) -> str:
    """The 76 upper-case digits. Raises ConfigError, NoPermissionError or ToxvpnError."""
    from .._native.options import Options
    from .._native.results import SavedataError
    from .._native.toxcore import Tox

    savedata = read_savedata(directory)
    if savedata is None:
        savedata = make_identity(directory)
    try:
        tox = Tox(Options(udp=False, local_discovery=False), savedata)
    except SavedataError as error:
        raise damaged(directory / SAVE_NAME, str(error)) from error
    try:
        return tox.address.hex().upper()
    finally:
        tox.close()


def change_nospam(directory: Path) -> None:
    """Raises IdentityInUseError while a toxvpn runs with that identity."""
    from .._native.options import Options
    from .._native.toxcore import Tox

    with Identity.open(directory) as identity:
        tox = Tox(Options(udp=False, local_discovery=False), identity.savedata)
        tox.nospam = secrets.randbits(32)
        identity.save(tox.savedata())
        tox.close()


def make_identity(directory: Path) -> bytes:
    from .._native.options import Options
    from .._native.toxcore import Tox

    try:
        identity = Identity.open(directory)
    except IdentityInUseError:
        return wait_for_identity(directory)
    with identity:
        if identity.savedata is None:
            tox = Tox(Options(udp=False, local_discovery=False))
            identity.save(tox.savedata())
            tox.close()
        assert identity.savedata is not None
        return identity.savedata


def wait_for_identity(directory: Path) -> bytes:
    deadline = time.monotonic() + STARTING_S
    while (savedata := read_savedata(directory)) is None:
        if time.monotonic() > deadline:
            raise IdentityInUseError(
                f"another process uses {directory} and has not made an identity yet; try again"
            )
        time.sleep(0.05)
    return savedata
