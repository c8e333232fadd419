"""The exceptions that toxvpn raises on purpose, each with the exit code of the program.

A message is one line for a person: what happened, why, and what to do. It begins small and has no full stop.
Exit codes: 0 ok, 1 failure, 2 usage, 3 not running, 4 peer unknown or refused, 5 timeout or
peer offline, 6 connected but not as required, 77 no permission, 78 bad configuration,
255 link failure in pipe mode, 128+n on signal n.
"""


class ToxvpnError(Exception):
    """A failure that the user should know of; `str()` is the line to show."""

    exit_code = 1


class UsageError(ToxvpnError):
    """The command line, or a program, asks for something impossible."""

    exit_code = 2


class NotRunningError(ToxvpnError):
    """The daemon is not running, or the network is not up."""

    exit_code = 3


class PeerRefusedError(ToxvpnError):
    """The peer is unknown, or it or our configuration refuses."""

    exit_code = 4


class PeerOfflineError(ToxvpnError):
    """The peer was not reached in time."""

    exit_code = 5


class PathError(ToxvpnError):
    """Connected, but not as required (relayed instead of direct)."""

    exit_code = 6


class NoPermissionError(ToxvpnError):
    """The operating system does not permit it; the message names what is needed."""

    exit_code = 77


class ConfigError(ToxvpnError):
    """A file is not usable; the message names the file, the place in it, and the expected form."""

    exit_code = 78


class LinkError(ToxvpnError):
    """In pipe mode, the link broke or never came up (as ssh's 255). No text: there is nobody to tell."""

    exit_code = 255


class LocalProtocolError(ToxvpnError):
    """Our own code asked a protocol object for something that its state forbids: a bug."""


class ClosedError(ToxvpnError):
    """An object was used after its end."""
