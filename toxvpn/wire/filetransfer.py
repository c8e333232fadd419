"""What the two sides of `toxvpn send` and `toxvpn receive` say, on a stream to the built-in target @files.

The sender begins. A message is a JSON object on a line of at most 4096 bytes; names are bytes, put into the
JSON as they are. Sender:

    {"begin":3,"bytes":123}                              how much is to come, for the progress shown
    {"file":"photo.jpg","size":5,"mtime":NS,"room":5}    and "executable":true; mtime in ns since the epoch
    {"blake2b":HEX}                                      of as many first bytes as were asked about
    {"folder":"photos"} … {"end":"folder"}               what is between is in it, by its path there
    {"directory":"2024/empty"}                           in that folder
    {"busy":true}                                        it computes; nothing else is to be said
    {"end":"all"}

Receiver, one answer for each file and for the end of each folder:

    {"check":5}       what is the digest of the first 5 bytes?
    {"from":5}        send the bytes from there on
    {"kept":"photo (1).jpg"}   {"have":"photo.jpg"}   {"failed":"no-room"}
    {"busy":true}     {"ended":true}

Bytes go as chunks, each after its length (4 bytes, big endian); a length of 0 ends them, and a line with the
digest of the whole file follows, or {"changed":true}: they are not to be kept. Those of a file of at most
EAGER_BYTES follow its message at once, without an answer. The receiver may answer {"failed":…} while bytes
come; the sender then ends them with {"changed":true}, and gets no other answer for that file.
"""

import json
import struct
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar

M = TypeVar("M")

NAME = "@files"
VERSION = 1
MOST_LINE_BYTES = 4096
MOST_CHUNK_BYTES = 1 << 20
EAGER_BYTES = 64 * 1024
DIGEST_BYTES = 32
LAST = (1 << 63) - 1
"""The largest size and time that a Linux file system can have."""
MOST_NAME_BYTES = 255  # NAME_MAX (pathconf(3)) of every usual file system
MOST_DEPTH = 128

_LENGTH = struct.Struct(">I")
LENGTH_BYTES = _LENGTH.size


class ProtocolError(Exception):
    """The other side does not keep to this protocol; the text names the fault."""


class Failure(StrEnum):
    """The reason why the receiver did not keep a file or folder."""

    NO_ROOM = "no-room"
    NAME = "name"
    BUSY = "busy"
    DIGEST = "digest"
    CHANGED = "changed"
    FORBIDDEN = "forbidden"
    BROKEN = "broken"


@dataclass(frozen=True, slots=True)
class Begin:
    """What is to come, as far as the sender knows; for the progress that is shown."""

    files: int
    total_bytes: int


@dataclass(frozen=True, slots=True)
class File:
    """`path`: the file's names from the folder on. `room_bytes`: what it takes on the sender's disk."""

    path: tuple[bytes, ...]
    size_bytes: int
    mtime_ns: int
    executable: bool
    room_bytes: int

    @property
    def eager(self) -> bool:
        return self.size_bytes <= EAGER_BYTES


@dataclass(frozen=True, slots=True)
class BeginFolder:
    name: bytes


@dataclass(frozen=True, slots=True)
class Directory:
    path: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Digest:
    """32 bytes."""

    blake2b: bytes


@dataclass(frozen=True, slots=True)
class Changed:
    pass


@dataclass(frozen=True, slots=True)
class EndFolder:
    pass


@dataclass(frozen=True, slots=True)
class EndAll:
    pass


@dataclass(frozen=True, slots=True)
class Busy:
    pass


@dataclass(frozen=True, slots=True)
class Check:
    first_bytes: int


@dataclass(frozen=True, slots=True)
class SendFrom:
    offset_bytes: int


@dataclass(frozen=True, slots=True)
class Kept:
    """`name`: what it is called in the receiver's folder."""

    name: bytes


@dataclass(frozen=True, slots=True)
class Have:
    """The receiver has it already, under that name."""

    name: bytes


@dataclass(frozen=True, slots=True)
class Failed:
    why: Failure


@dataclass(frozen=True, slots=True)
class Ended:
    pass


FileOutcome = Kept | Have | Failed
FromSender = Begin | File | BeginFolder | Directory | Digest | Changed | EndFolder | EndAll | Busy
FromReceiver = Check | SendFrom | Kept | Have | Failed | Busy | Ended


def encode(message: FromSender | FromReceiver) -> bytes:
    """The line. Raises ValueError when a name makes it too long."""
    text = json.dumps(_fields(message), separators=(",", ":"), ensure_ascii=False)
    line = text.encode("utf-8", "surrogateescape") + b"\n"
    if len(line) > MOST_LINE_BYTES:
        raise ValueError(f"the line has {len(line)} bytes, and at most {MOST_LINE_BYTES} are allowed")
    return line


def _fields(message: FromSender | FromReceiver) -> dict[str, Any]:
    match message:
        case Begin(files, total_bytes):
            return {"begin": files, "bytes": total_bytes}
        case File(path, size_bytes, mtime_ns, executable, room_bytes):
            more = {"executable": True} if executable else {}
            return {
                "file": _joined(path), "size": size_bytes, "mtime": mtime_ns, "room": room_bytes, **more,
            }  # fmt: skip
        case BeginFolder(name):
            return {"folder": _text(name)}
        case Directory(path):
            return {"directory": _joined(path)}
        case Digest(blake2b):
            return {"blake2b": blake2b.hex()}
        case Changed():
            return {"changed": True}
        case EndFolder():
            return {"end": "folder"}
        case EndAll():
            return {"end": "all"}
        case Busy():
            return {"busy": True}
        case Check(first_bytes):
            return {"check": first_bytes}
        case SendFrom(offset_bytes):
            return {"from": offset_bytes}
        case Kept(name):
            return {"kept": _text(name)}
        case Have(name):
            return {"have": _text(name)}
        case Failed(why):
            return {"failed": why.value}
        case Ended():
            return {"ended": True}


def decode_from_sender(line: bytes) -> FromSender:
    """Raises ProtocolError."""
    return _decode(line, _FROM_SENDER)


def decode_from_receiver(line: bytes) -> FromReceiver:
    """Raises ProtocolError."""
    return _decode(line, _FROM_RECEIVER)


def encode_length(count_bytes: int) -> bytes:
    return _LENGTH.pack(count_bytes)


def decode_length(data: bytes) -> int:
    """Raises ProtocolError."""
    (count_bytes,) = _LENGTH.unpack(data)
    if count_bytes > MOST_CHUNK_BYTES:
        raise ProtocolError(f"a chunk of {count_bytes} bytes is too long")
    return int(count_bytes)


def check_name(name: bytes) -> bytes:
    """Returns the name of one file or directory. Raises ProtocolError unless it can be one on Linux."""
    if name in (b"", b".", b"..") or b"/" in name or b"\0" in name or len(name) > MOST_NAME_BYTES:
        raise ProtocolError(f"{name[:64]!r} cannot be a file's name")
    return name


# -- fields of a message, untrusted ---------------------------------------------------------------

_Fields = dict[str, Any]


def _decode(line: bytes, kinds: dict[str, Callable[[_Fields], M]]) -> M:
    try:
        fields = json.loads(line.decode("utf-8", "surrogateescape"))
    except (ValueError, RecursionError):
        fields = None
    if not isinstance(fields, dict):
        raise ProtocolError(f"{line[:64]!r} is not a JSON object")
    for kind, read in kinds.items():
        if kind in fields:
            return read(fields)
    raise ProtocolError(f"{line[:64]!r} is not a message that can come here")


def _text(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")


def _joined(path: tuple[bytes, ...]) -> str:
    return _text(b"/".join(path))


def _bytes(fields: _Fields, key: str) -> bytes:
    value = fields.get(key)
    try:
        return value.encode("utf-8", "surrogateescape") if isinstance(value, str) else b""
    except UnicodeEncodeError:  # a surrogate that stands for no byte
        return b""


def _name(fields: _Fields, key: str) -> bytes:
    return check_name(_bytes(fields, key))


def _path(fields: _Fields, key: str) -> tuple[bytes, ...]:
    names = _bytes(fields, key).split(b"/")
    if len(names) > MOST_DEPTH:
        raise ProtocolError(f"a path of {len(names)} names is too deep")
    return tuple(map(check_name, names))


def _number(fields: _Fields, key: str, least: int = 0) -> int:
    value = fields.get(key)
    if type(value) is not int or not least <= value <= LAST:
        raise ProtocolError(f"{key!r} is not a number, or out of range")
    return value


def _digest(fields: _Fields) -> Digest:
    value = fields["blake2b"]
    try:
        digest = bytes.fromhex(value) if isinstance(value, str) else b""
    except ValueError:
        digest = b""
    if len(digest) != DIGEST_BYTES:
        raise ProtocolError("a digest is not one")
    return Digest(digest)


def _file(fields: _Fields) -> File:
    return File(
        _path(fields, "file"),
        _number(fields, "size"),
        _number(fields, "mtime", -LAST - 1),
        fields.get("executable") is True,
        _number(fields, "room"),
    )


def _end(fields: _Fields) -> EndFolder | EndAll:
    match fields["end"]:
        case "folder":
            return EndFolder()
        case "all":
            return EndAll()
        case _:
            raise ProtocolError("it is not clear what ends")


def _failed(fields: _Fields) -> Failed:
    value = fields["failed"]
    known = isinstance(value, str) and value in set(Failure)
    return Failed(Failure(value) if known else Failure.BROKEN)


_FROM_SENDER: dict[str, Callable[[_Fields], FromSender]] = {
    "begin": lambda fields: Begin(_number(fields, "begin"), _number(fields, "bytes")),
    "file": _file,
    "folder": lambda fields: BeginFolder(_name(fields, "folder")),
    "directory": lambda fields: Directory(_path(fields, "directory")),
    "blake2b": _digest,
    "changed": lambda _: Changed(),
    "end": _end,
    "busy": lambda _: Busy(),
}
_FROM_RECEIVER: dict[str, Callable[[_Fields], FromReceiver]] = {
    "check": lambda fields: Check(_number(fields, "check")),
    "from": lambda fields: SendFrom(_number(fields, "from")),
    "kept": lambda fields: Kept(_name(fields, "kept")),
    "have": lambda fields: Have(_name(fields, "have")),
    "failed": _failed,
    "busy": lambda _: Busy(),
    "ended": lambda _: Ended(),
}


def printable(name: bytes) -> str:
    """The name for a terminal: whoever chose it, nothing in it is to steer the terminal."""
    text = name.decode("utf-8", "backslashreplace")
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)
