"""The process of a drop's node: a run without VPN and forwards, whose one peer may send files.

In: its options, from a pipe at stdin. Out: an exit code, and a line on stdout when it cannot run. It ends
with the command that started it (cli/drop.py).
"""

import logging
import pickle
import sys

from .. import linux
from ..config.flags import DaemonOptions
from ..errors import ToxvpnError
from ..process.needs import needs
from ..process.run import run
from ..share.logfile import open_log_file
from .daemon import serve

PROCESS_NAME = "toxvpn-drop"  # for ps and top, at most 15 bytes


def main() -> int:
    """Runs the node; returns the exit code."""
    linux.set_process_name(PROCESS_NAME)
    linux.kill_with_parent()
    options: DaemonOptions = pickle.load(
        sys.stdin.buffer
    )  # from the command that started us, which is our own
    log_file = open_log_file(options.directory)
    logger = logging.getLogger("toxvpn")
    logger.handlers[:] = [] if log_file is None else [log_file]
    logger.setLevel(logging.INFO)
    logger.propagate = False
    try:
        return run(serve, options, needs(options))
    except ToxvpnError as failure:
        logger.error("%s", failure)
        print(failure)  # noqa: T201
        return failure.exit_code
