"""Where log records go: stderr, one line each; stdout is for data.

The daemon's parts only ever call `logging.getLogger("toxvpn...")`; here is the only handler.
"""

import logging

PLAIN = "%(levelname)s: %(message)s"
DETAILED = "%(asctime)s.%(msecs)03d %(levelname)s %(name)s: %(message)s"
CLOCK = "%H:%M:%S"


def set_up(*, debug: int = 0, quiet: bool = False, level: int = logging.INFO) -> None:
    """`level` is what this kind of run shows unless -q (errors only) or -d (everything) was given."""
    if quiet:
        level = logging.ERROR
    if debug:
        level = logging.DEBUG
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter(DETAILED if debug else PLAIN, CLOCK))
    root = logging.getLogger("toxvpn")
    for old in list(root.handlers):
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level)
    root.propagate = False
