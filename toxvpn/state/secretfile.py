"""The shared secret on disk: read from a file that the user names, or made once and kept with the identity.

In: paths. Out: the secret's bytes, which a friend request can carry (wire/secret.py).
"""

import base64
import os
import stat
from pathlib import Path

from ..errors import ConfigError, UsageError
from ..wire.secret import MAX_MESSAGE_BYTES, check_usable
from .files import OTHERS_MASK, explain, open_given, read_private, user_name, write_atomic
from .places import SERVICE_CONFIG

SECRET_NAME = "secret"
KEPT_SECRET_BYTES = 20
"""160 bits: 32 characters of base32, safe in any shell and easy to read out."""


def read_secret_file(path: Path, owner: int | None = None) -> bytes:
    """The content of the file without its last line end.

    `owner`: the user whose configuration names the file, and who must own it; otherwise that user could make
    root send one of root's files to a peer.

    A file that others can read is refused. A pipe (`<(pass show x)`) is fine, and so is a systemd credential,
    whose group bits are the mask of an access list. A service gets the files below /etc/toxvpn that only root
    can read as credentials. Raises ConfigError or NoPermissionError.
    """
    path = as_credential(path) or path
    try:
        with open_given(path) as file:
            found = os.fstat(file.fileno())
            mode = found.st_mode
            if owner is not None and found.st_uid != owner:
                who = user_name(owner)
                raise ConfigError(
                    f"{path} must belong to {who}, whose configuration names it; run `chown {who} {path}`"
                )
            if stat.S_ISREG(mode) and mode & OTHERS_MASK and not is_credential(path):
                raise ConfigError(
                    f"{path} can be read by other users of this machine; run `chmod 600 {path}`"
                )
            data = file.read(2 * MAX_MESSAGE_BYTES)
    except FileNotFoundError:
        raise ConfigError(f"there is no secret file {path}") from None
    except OSError as error:
        raise explain(error, path, "read") from error
    return usable(data.removesuffix(b"\n").removesuffix(b"\r"), path)


def as_credential(path: Path) -> Path | None:
    """The file that systemd made of `path`: LoadCredential=secrets:/etc/toxvpn/secrets gives secrets_NAME."""
    directory = os.environ.get("CREDENTIALS_DIRECTORY")
    if not directory or not path.is_relative_to(SERVICE_CONFIG):
        return None
    credential = Path(directory, "_".join(path.relative_to(SERVICE_CONFIG).parts))
    return credential if credential.exists() else None


def is_credential(path: Path) -> bool:
    """Whether it is a credential, which systemd made for this service only (systemd.exec, Credentials)."""
    directory = os.environ.get("CREDENTIALS_DIRECTORY")
    return bool(directory) and path.is_relative_to(directory or "")


def kept_secret(directory: Path) -> tuple[bytes, bool]:
    """The secret kept in the directory, and whether it has just been made. The directory must exist.

    Raises ConfigError, NoPermissionError or ToxvpnError.
    """
    path = directory / SECRET_NAME
    data = read_private(path)
    if data is not None:
        return usable(data.strip(), path), False
    return new_secret(directory), True


def new_secret(directory: Path) -> bytes:
    """Makes a secret, and replaces the one that is kept. Raises NoPermissionError or ToxvpnError."""
    secret = base64.b32encode(os.urandom(KEPT_SECRET_BYTES)).lower()
    write_atomic(directory / SECRET_NAME, secret + b"\n")
    return secret


def usable(secret: bytes, path: Path) -> bytes:
    try:
        check_usable(secret)
    except UsageError as error:
        raise ConfigError(f"{path}: {error}") from None
    return secret
