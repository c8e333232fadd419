"""A Tox network of one bootstrap node, which is this process.

In: our address in it. Out: the file for -b. Who bootstraps from this node alone never learns of another one.
"""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from random import Random

from .._native.options import Options
from .._native.toxcore import Tox
from ..tox.bootstrap import Bootstrapper
from ..tox.node import Node


@contextlib.contextmanager
def tox_network(address: str, nodes_file: Path) -> Iterator[None]:
    """Runs the node, and writes it to `nodes_file`. Raises PortError."""
    node = Node(Tox(Options(ipv6=False, local_discovery=False)), Bootstrapper((), Random()))
    try:
        entry = {"ipv4": address, "port": node.tox.udp_port, "public_key": node.tox.dht_id.hex()}
        nodes_file.write_text(json.dumps({"nodes": [entry]}))
        node.start()
        yield
    finally:
        node.close()
