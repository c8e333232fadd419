"""The words after `toxvpn ssh`, which are ssh's: where its destination is, and which port was typed."""

import re
from collections.abc import Sequence

WITH_VALUE = frozenset("BDEFIJLOPQRSWbceilmopw")
"""ssh's options that take a value, as of OpenSSH 10 (its ssh.c, getopt)."""
URI = "ssh://"
SSH_PORT = 22


def find_destination(arguments: Sequence[str]) -> int | None:
    """The index of the destination in ssh's arguments: the first word that is not an option or its value."""
    expected = False
    for place, word in enumerate(arguments):
        if expected:
            expected = False
        elif word == "--":
            return place + 1 if place + 1 < len(arguments) else None
        elif not word.startswith("-"):
            return place
        else:
            expected = wants_value(word)
    return None


def wants_value(word: str) -> bool:
    """Whether the value of the word's last option is the next word: `-vp 22`, but not `-vp22`."""
    for number, letter in enumerate(word[1:], 2):
        if letter in WITH_VALUE:
            return number == len(word)
    return False


def split_destination(destination: str) -> tuple[str, str, str]:
    """Splits `user@PEER` or `ssh://user@PEER:22` into the text before the peer, the peer, and the rest."""
    start, end = "", ""
    rest = destination
    if rest.startswith(URI):
        rest = rest[len(URI) :]
        rest, colon, port = rest.partition(":")
        start, end = URI, colon + port
    user, at, peer = rest.rpartition("@")
    return start + user + at, peer, end


def typed_port(options: Sequence[str], end: str) -> int:
    """The port in the URI or after -p; a port in ~/.ssh/config is known to ssh only."""
    typed = [end.removeprefix(":")]
    for word, following in zip(options, [*options[1:], ""], strict=False):
        letters = re.match(r"-([^\W\d_]*?)p(.*)", word)
        if letters and not set(letters[1]) & WITH_VALUE:
            typed.append(letters[2] or following)
    ports = [int(each) for each in typed if each.isdecimal() and 0 < int(each) < 1 << 16]
    return ports[0] if ports else SSH_PORT
