"""The directories for our files: the service's, the user's (XDG), or the one given with -C.

In: the -C argument and the user we run as. Out: four directories, made 0700 when they are first needed.
Neighbours: identity.py and friends.py keep their files in `data`, the control socket is in `runtime`.
"""

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from ..errors import ConfigError, NoPermissionError
from .files import explain, user_name
from .folder import Folder, others_can_write

PRIVATE_DIRECTORY_MODE = 0o700
SERVICE_CONFIG = Path("/etc/toxvpn")
SERVICE_DATA = Path("/var/lib/toxvpn")
SERVICE_RUNTIME = Path("/run/toxvpn")
SERVICE_VARIABLE = "TOXVPN_SERVICE"
"""Set in the environment of a service that does not run as root and yet has these places."""


@dataclass(frozen=True, slots=True)
class Places:
    """The four directories; they need not exist yet, `make` makes them."""

    config: Path  # written by a person: config.toml, rules
    data: Path  # identity and members: tox_save, friends.json
    state: Path  # can be made again: caches
    runtime: Path  # gone after a reboot: sockets, journals


def find_places(directory: Path | None = None, *, service: bool | None = None) -> Places:
    """All are `directory` if given; else root and services get the service's, other users XDG's."""
    if directory is not None:
        directory = directory.absolute()  # a daemon changes its working directory
        return Places(directory, directory, directory, directory)
    if service is None:
        service = is_service()
    if service:
        return Places(SERVICE_CONFIG, SERVICE_DATA, SERVICE_DATA, SERVICE_RUNTIME)
    return user_places()


def is_service() -> bool:
    return os.geteuid() == 0 or bool(os.environ.get(SERVICE_VARIABLE))


def user_places() -> Places:
    from platformdirs import (
        user_config_path,
        user_data_path,
        user_state_path,
    )  # slow to import, and not needed by a client

    try:
        config, data, state = (
            find("toxvpn", appauthor=False) for find in (user_config_path, user_data_path, user_state_path)
        )
    except RuntimeError:
        raise no_home() from None
    if not all(path.is_absolute() for path in (config, data, state)):  # older versions leave the ~ in
        raise no_home()
    return Places(
        config=config,
        data=data,
        state=state,
        runtime=(user_runtime_base() or state / "run") / "toxvpn",
    )


def find_config(directory: Path | None = None) -> Path:
    """The same as `find_places(directory).config`, without importing platformdirs."""
    if directory is not None or is_service():
        return find_places(directory).config
    try:
        return (
            Path(os.environ.get("XDG_CONFIG_HOME", "").strip() or Path("~/.config").expanduser()) / "toxvpn"
        )
    except RuntimeError:
        raise no_home() from None


def no_home() -> ConfigError:
    return ConfigError(
        f"{user_name(os.geteuid())} has no home directory: set HOME, or choose a directory with -C DIR"
    )


def find_runtime(directory: Path | None = None) -> Path:
    """The same as `find_places(directory).runtime`, mostly without importing platformdirs."""
    if directory is None and not is_service() and (base := user_runtime_base()) is not None:
        return base / "toxvpn"
    return find_places(directory).runtime


def user_runtime_base() -> Path | None:
    """XDG_RUNTIME_DIR, or the directory logind would have set it to (su and cron leave it unset).

    Never /tmp, where another user could create the name first.
    """
    usual = Path(f"/run/user/{os.geteuid()}")
    for candidate in (os.environ.get("XDG_RUNTIME_DIR", ""), str(usual)):
        if candidate.startswith("/") and os.access(candidate, os.W_OK | os.X_OK):
            return Path(candidate)
    return None


def make_missing(directory: Path) -> None:
    # mkdir(parents=True) would leave the mode of the parents to the umask
    if not directory.parent.exists():
        make_missing(directory.parent)
    directory.mkdir(PRIVATE_DIRECTORY_MODE, exist_ok=True)


def make_for(directory: Path, uid: int, gid: int) -> None:
    """As `make`, by root for another user; an existing directory is left as it is. Raises OSError.

    Safe also where a user owns the parent, and may put something else in its place at any moment.
    """
    if not directory.parent.exists():
        make_missing(directory.parent)
    with Folder(directory) as above:
        try:
            os.mkdir(directory.name, PRIVATE_DIRECTORY_MODE, dir_fd=above.descriptor)
        except FileExistsError:
            return
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
        made = os.open(directory.name, flags, dir_fd=above.descriptor)
        try:
            with os.scandir(made) as content:
                if os.fstat(made).st_uid == os.geteuid() and not any(content):  # otherwise it was replaced
                    os.fchown(made, uid, gid)
        finally:
            os.close(made)


def make(directory: Path) -> Path:
    """Makes the directory, 0700, with missing parents; returns it.

    Raises NoPermissionError when it cannot be made, is not writable, or is another user's, and
    ConfigError when something else is in its place, or others than its owner can write to it.
    """
    try:
        make_missing(directory)
        found = directory.stat()
        if not os.access(directory, os.W_OK | os.X_OK):
            raise PermissionError(13, "Permission denied")
    except FileExistsError as error:
        raise explain(NotADirectoryError(20, "Not a directory"), directory, "use") from error
    except OSError as error:
        raise explain(error, directory, "use") from error
    me = os.geteuid()
    if me != 0 and found.st_uid not in (me, 0):
        raise NoPermissionError(
            f"cannot use {directory}: it belongs to {user_name(found.st_uid)}, who could read the files "
            "in it; choose a directory of your own with -C DIR"
        )
    if others_can_write(found):
        raise ConfigError(
            f"cannot use {directory}: other users can write to it (mode {stat.S_IMODE(found.st_mode):o}) and "
            f"replace the files in it; run `chmod go-w {directory}`"
        )
    return directory
