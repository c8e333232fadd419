"""The targets in Python, one file for each kind of input. A function's docstring says what it holds true."""

from ..target import TARGETS
from . import addresses, files, local, names, packets, reach, router, streams, text, tunnels, twins

__all__ = [
    "TARGETS",
    "addresses",
    "files",
    "local",
    "names",
    "packets",
    "reach",
    "router",
    "streams",
    "text",
    "tunnels",
    "twins",
]
