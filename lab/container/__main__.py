"""Prove an image on two hosts behind NATs. As root.

python -m lab.container podman|docker IMAGE

Docker's image is taken from podman. Each docker host has a daemon of its own, with its bridge and NAT, and
runs the examples of contrib/compose too.
"""

import shutil
import sys
from pathlib import Path

from .. import Lab
from . import checks, compose, engine


def main(kind: str, image: str) -> int:
    with Lab() as lab:
        lab.bootstrap()
        settings = settings_of(lab)
        start = engine.podman if kind == "podman" else engine.docker
        office, home = lab.nat("office").host("server"), lab.nat("home").host("laptop")
        with start(office, image, settings) as server, start(home, image, settings) as laptop:
            try:
                checks.look_at_image(server)
                checks.forwards(server, laptop)
                checks.vpn(server, laptop)
                if kind == "docker":
                    compose.forwards(server, laptop)
                    compose.vpn(server, laptop)
            except checks.FailedError:
                return 1
    return 0


def settings_of(lab: Lab) -> Path:
    """A directory for /etc/toxvpn: the lab's bootstrap nodes instead of the built-in ones."""
    settings = lab.directory / "settings"
    settings.mkdir(mode=0o755)
    shutil.copy(lab.nodes_json, settings / "nodes.json")
    settings.joinpath("config.toml").write_text('[node]\nnodes_file = "nodes.json"\n')
    return settings


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
