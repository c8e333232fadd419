"""Finds the shared secret: -s, --secret-file, or the environment.

Out: the secret's bytes, checked, or None. It is never printed or logged.
"""

import logging
import os
from collections.abc import MutableMapping
from pathlib import Path

from ..errors import UsageError
from ..state.secretfile import read_secret_file
from ..wire.secret import check_usable

log = logging.getLogger("toxvpn.cli")

VARIABLES = ("TOXVPN_SHARED_SECRET", "TUNTOX_SHARED_SECRET")
BETTER_WAYS = "--secret-file FILE or TOXVPN_SHARED_SECRET keep it private"


def find_secret(typed: str | None, file: Path | None, environ: MutableMapping[str, str]) -> bytes | None:
    """The secret of -s, else of --secret-file, else of the environment, from which it is removed.

    Raises UsageError or ConfigError.
    """
    from_environment = [secret for name in VARIABLES if (secret := environ.pop(name, None)) is not None]
    if typed is not None and file is not None:
        raise UsageError("-s and --secret-file both give a secret: leave one out")
    if file is not None:
        return read_secret_file(file)
    if typed is not None:
        log.warning("a secret given with -s is visible in the process list: %s", BETTER_WAYS)
        return checked(typed)
    if from_environment:
        return checked(from_environment[0])
    return None


def checked(text: str) -> bytes:
    secret = os.fsencode(text)
    check_usable(secret)
    return secret
