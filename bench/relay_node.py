"""A toxvpn that is a TCP relay (`-t PORT`), as a process that prints its DHT key, by which others list it.

    python -m bench.relay_node DIRECTORY NODES_JSON PORT

Prints `UDP_PORT DHT_KEY` once it is in the Tox network. toxcore makes that key anew in every run.
"""

import asyncio
import sys
from pathlib import Path

from toxvpn.config.options import NodeOptions
from toxvpn.daemon.node import running_node
from toxvpn.process.lifecycle import Lifecycle
from toxvpn.process.notify import Notifier
from toxvpn.tox.events import Event, SelfConnection


async def main() -> None:
    directory, nodes, port = sys.argv[1:]
    options = NodeOptions(nodes_file=Path(nodes), tcp_port=int(port))
    async with running_node(options, Path(directory), Lifecycle(Notifier({}))) as run:
        tox = run.node.tox

        def on_event(event: Event) -> None:
            if isinstance(event, SelfConnection):
                print(tox.udp_port, tox.dht_id.hex().upper(), flush=True)

        run.node.subscribe(on_event)
        run.node.start()
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
