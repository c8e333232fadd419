"""Drops: a drop lets one machine send files here, once, to nothing but this folder.

Each side of a drop has a node of its own for it, with an identity that nothing else uses, in a directory that
is removed when the files have arrived. So neither side learns who the other is, a toxvpn that runs here is
not concerned, and what is left unfinished goes on with the same text when both commands are given again.
"""

import contextlib
import os
import pickle
import pwd
import shutil
import subprocess
import time
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path

from ..config.flags import DaemonOptions
from ..control.giveway import gives_way
from ..errors import NoPermissionError, ToxvpnError
from ..interpreter import command_line
from ..members import friends
from ..members.members import Members
from ..state.files import read_private, user_name, write_atomic
from ..state.identity import Identity, IdentityInUseError
from ..state.places import find_places, make
from ..wire import invite
from ..wire.toxid import parse_tox_id
from .id import tox_id

DROPS = "drops"
TEXT_NAME = "drop"
LIFETIME_S = 86400.0
FORGOTTEN_S = 30 * 86400.0
STOPPING_S = 5.0
LOOK_AGAIN_S = 0.05
NODE = "from toxvpn.daemon import drop_node; sys.exit(drop_node.main())"


def drop_directory(directory: Path | None, purpose: bytes) -> Path:
    """The directory for the drop of that purpose; makes it, and removes those that were forgotten.

    `directory` is -C. Raises NoPermissionError when it belongs to another user.
    """
    state = make(_state(directory))
    if state.stat().st_uid != os.geteuid():
        owner = user_name(state.stat().st_uid)
        raise NoPermissionError(
            f"{state} belongs to {owner}, who could replace files in it: run this as {owner}"
        )
    drops = make(state / DROPS)
    for other in drops.iterdir():
        with contextlib.suppress(OSError):
            if time.time() - other.stat().st_mtime > FORGOTTEN_S:
                remove_drop(other)
    directory = make(drops / blake2b(purpose, digest_size=8).hexdigest())
    os.utime(directory)
    return directory


def _state(directory: Path | None) -> Path:
    """Root's own: the service's may belong to another user."""
    if directory is None and os.geteuid() == 0:
        return Path(pwd.getpwuid(0).pw_dir) / ".local/state/toxvpn"
    return find_places(directory).state


def remove_drop(directory: Path) -> None:
    """Removes it with all that is in it, once nothing uses it any more; leaves it if that takes too long."""
    given_up_s = time.monotonic() + STOPPING_S
    while time.monotonic() < given_up_s:
        with contextlib.suppress(IdentityInUseError):
            gives_way(directory)
            with Identity.open(directory):
                shutil.rmtree(directory, ignore_errors=True)
                return
        time.sleep(LOOK_AGAIN_S)


def drop_text(directory: Path) -> str:
    """The text to pass on: the same as before, as long as it is good or its sender has not sent all.

    Raises IdentityInUseError: this drop is open already.
    """
    path = directory / TEXT_NAME
    own = parse_tox_id(tox_id(directory))
    with Identity.open(directory):
        book = friends.load(directory)
        text = (read_private(path) or b"").decode()
        if text and (list(book) or time.time() < invite.decode(text).expires):
            return text
        members = Members(directory, book, time.time, os.urandom)
        text = invite.encode(members.invite(own, LIFETIME_S, may=frozenset(), allow=()))
        write_atomic(path, text.encode())
    return text


@contextlib.contextmanager
def drop_node(options: DaemonOptions) -> Iterator["subprocess.Popen[bytes]"]:
    """Runs the node of a drop as a process inside the `with`. Raises ToxvpnError."""
    try:
        node = subprocess.Popen(
            command_line(NODE, []),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # a Ctrl-C is for us, who then stop it
            cwd="/",
        )
        assert node.stdin is not None
        with node.stdin:
            pickle.dump(options, node.stdin)
    except OSError as error:
        raise ToxvpnError(f"cannot start a node for the drop: {error.strerror or error}") from None
    try:
        yield node
    finally:
        node.terminate()
        try:
            node.wait(STOPPING_S)
        except subprocess.TimeoutExpired:
            node.kill()
            node.wait()
        assert node.stdout is not None
        node.stdout.close()
