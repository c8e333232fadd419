"""The exception tree: everything that toxvpn raises on purpose, and the exit code it means.

A message is one line for a person: what happened, why, what to do.
Exit codes: 0 ok, 1 failure, 2 usage, 3 not running, 4 peer unknown or refused, 5 timeout or
peer offline, 6 connected but not as required, 77 no permission, 78 bad configuration,
255 link failure in pipe mode, 128+n on signal n.
"""


class ToxvpnError(Exception):
    """Something that the user should be told; `str()` is the line to show."""

    exit_code = 1


class UsageError(ToxvpnError):
    """The command line asks for something that cannot be."""

    exit_code = 2


class NotRunningError(ToxvpnError):
    """The daemon asked for is not there, or the network is not up."""

    exit_code = 3


class PeerRefusedError(ToxvpnError):
    """The peer is unknown, or it or our policy said no."""

    exit_code = 4


class PeerOfflineError(ToxvpnError):
    """The peer was not reached in time."""

    exit_code = 5


class PathError(ToxvpnError):
    """Connected, but not the way that was required (relayed instead of direct)."""

    exit_code = 6


class NoPermissionError(ToxvpnError):
    """The operating system does not let us; names what is needed."""

    exit_code = 77


class ConfigError(ToxvpnError):
    """A file we were given, or found, is not usable; names file, place and expected form."""

    exit_code = 78


class LinkError(ToxvpnError):
    """Pipe mode: the link broke or never came up (as ssh's 255)."""

    exit_code = 255


class LocalProtocolError(ToxvpnError):
    """Our own code asked a protocol object for what its state forbids: a bug here."""


class ClosedError(ToxvpnError):
    """The object was closed by us and is used again."""
