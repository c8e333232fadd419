"""A `toxvpn run` that serves forwards to one host and has another as its VPN peer."""

import subprocess
from functools import partial
from pathlib import Path

from lab import Host, wait_until

from .harness import ONLINE_S, OURS, TOXVPN
from .pair import Site
from .vpn_pair import INTERFACE, VpnSide

CONFIG = """
[node]
nodes_file = "{nodes}"
[server]
secret_file = "{directory}/secret"
[vpn]
interface = "{interface}"
[peers.other]
id = "{peer}"
"""


class Served:
    """The run on `host`, started with its peer; `wait_direct` before anything is measured."""

    def __init__(self, nodes: Path, host: Host, *, caller: Host, peer: Host) -> None:
        self.site = Site(host, caller, nodes, OURS)
        self.peer = VpnSide(peer, nodes, OURS)
        directory = host.directory / "toxvpn"
        directory.mkdir(mode=0o700)
        config = CONFIG.format(nodes=nodes, directory=directory, interface=INTERFACE, peer=self.peer.tox_id)
        for name, text in (("secret", f"{self.site.secret}\n"), ("config.toml", config)):
            directory.joinpath(name).write_text(text)
            directory.joinpath(name).chmod(0o600)
        self.tox_id = host.run([TOXVPN, "id", "-C", str(directory)]).stdout.strip()
        with directory.with_suffix(".log").open("wb") as log:
            argv = [TOXVPN, "run", "-C", str(directory)]
            self.process = host.popen(argv, stdout=subprocess.DEVNULL, stderr=log)
        self.peer.up(self.tox_id)

    def wait_direct(self) -> None:
        """Wait until the peer is on the network, without a relay between."""
        wait_until(partial(VpnSide.is_direct, self.peer), "direct connection of the VPN", ONLINE_S, 0.2)
