"""The results of toxcore's calls: enums, and a table from error codes to exceptions.

The binding raises through this table; no other module sees a C code.
"""

from enum import IntEnum
from typing import Literal

from ..errors import ConfigError, ToxvpnError, UsageError


class Connection(IntEnum):
    """`Tox_Connection` of tox.h: how we, or a friend, are connected."""

    NONE = 0
    TCP = 1
    UDP = 2

    @property
    def path(self) -> Literal["none", "tcp-relay", "udp"]:
        """The name in status, logs and metrics."""
        return ("none", "tcp-relay", "udp")[self]


class SendResult(IntEnum):
    """The result of sending a custom packet (`Tox_Err_Friend_Custom_Packet`)."""

    SENT = 0
    OFFLINE = 1
    QUEUE_FULL = 2
    NOT_FOUND = 3
    INVALID = 4


class ToxError(ToxvpnError):
    """libtoxcore refused a call; `code` is the enum's name without TOX_ERR_."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class SavedataError(ConfigError):
    """libtoxcore cannot load the savedata; `code` as in ToxError."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class PortError(ToxvpnError):
    """No port of the given range could be bound."""


MESSAGES = {
    "NEW_MALLOC": "libtoxcore could not start: out of memory or of file descriptors",
    "NEW_PORT_ALLOC": "no port could be bound: the one asked for is in use, or below 1024, which takes "
    "CAP_NET_BIND_SERVICE; choose another with -u or -t",
    "NEW_PROXY_BAD_TYPE": "libtoxcore does not know this kind of proxy; give socks5:// or http://",
    "NEW_PROXY_BAD_HOST": "the proxy's host name could not be resolved",
    "NEW_PROXY_BAD_PORT": "the proxy's port is not valid",
    "NEW_PROXY_NOT_FOUND": "the proxy's host name could not be resolved",
    "NEW_LOAD_ENCRYPTED": "the savedata is encrypted; toxvpn can only read it without a password",
    "NEW_LOAD_BAD_FORMAT": "the savedata is damaged, or is not Tox savedata",
    "BOOTSTRAP_BAD_HOST": "the bootstrap node's address could not be resolved",
    "BOOTSTRAP_BAD_PORT": "the bootstrap node's port is not valid",
    "FRIEND_ADD_TOO_LONG": "the secret is too long for a friend request",
    "FRIEND_ADD_NO_MESSAGE": "a friend request must carry a message",
    "FRIEND_ADD_OWN_KEY": "that Tox ID is this machine's own",
    "FRIEND_ADD_ALREADY_SENT": "that peer is already known",
    "FRIEND_ADD_BAD_CHECKSUM": "the Tox ID's checksum is wrong: a digit is wrong or missing",
    "FRIEND_ADD_SET_NEW_NOSPAM": "that peer is already known under another Tox ID",
    "FRIEND_ADD_MALLOC": "libtoxcore is out of memory",
    "SET_INFO_TOO_LONG": "the name or status message is too long",
}


def error(code: str) -> ToxvpnError:
    """The exception for a code such as `NEW_PORT_ALLOC`."""
    message = MESSAGES.get(code, f"libtoxcore failed: {code}")
    if code.startswith("NEW_LOAD_"):
        return SavedataError(code, message)
    if code == "NEW_PORT_ALLOC":
        return PortError(message)
    if code in {"FRIEND_ADD_OWN_KEY", "FRIEND_ADD_BAD_CHECKSUM", "FRIEND_ADD_TOO_LONG"}:
        return UsageError(message)
    return ToxError(code, message)
