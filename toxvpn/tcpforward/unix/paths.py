"""The paths of Unix sockets, as a person types them and as they travel to a peer. No file is looked at here.

A path is absolute, printable, and fits a socket's address. It has no `..`: what that means depends on links.
To a peer it travels where a host would, as `/run/docker.sock`, which no host's name begins like. What a
request cannot carry in a host's name, spaces for one, is percent-encoded (RFC 3986 §2.1).
"""

from urllib.parse import quote, unquote

MAX_PATH_BYTES = 107
"""unix(7): sun_path has 108, and the last is NUL."""
WIRE_PORT = 1
"""Stands where the port of a host would, which must not be 0."""
_UNCHANGED = "/!$&'()*+,;=:@[]"


def is_path(text: str) -> bool:
    """Whether it means a Unix socket, and not a host or a port."""
    return text.startswith("/")


def check_path(text: str) -> str:
    """The path in its shortest form. Raises ValueError, with a text that says why."""
    if not is_path(text):
        raise ValueError(f"the path {text!r} does not begin with /")
    if not text.isprintable():
        raise ValueError("the path has control characters in it")
    names = [name for name in text.split("/") if name not in ("", ".")]
    if ".." in names:
        raise ValueError("the path has .. in it: write it without")
    if not names or text.endswith(("/", "/.")):
        raise ValueError("the path names a directory, not a socket")
    path = "/" + "/".join(names)
    size = len(path.encode())
    if size > MAX_PATH_BYTES:
        raise ValueError(f"the path has {size} bytes; that of a Unix socket has {MAX_PATH_BYTES} at most")
    return path


def as_host(path: str) -> str:
    """The path as it travels."""
    return quote(path, safe=_UNCHANGED)


def from_host(host_untrusted: str) -> str:
    """The path that a peer asks for. Raises ValueError."""
    return check_path(unquote(host_untrusted, errors="strict"))


def escaped(path: str) -> str:
    """The path as -L writes it, where `:` ends a field."""
    return path.replace(":", "\\:")


def unescaped(field: str) -> str:
    return field.replace("\\:", ":")
