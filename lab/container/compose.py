"""The examples of contrib/compose, as a person uses them: a copy of the folder, with the Tox ID filled in.

A compose.override.yaml beside each adds the lab's bootstrap nodes, and an app that needs no registry.
"""

import json
import shutil
from pathlib import Path
from typing import Any

from .. import wait_until
from ..processes import REPOSITORY
from .checks import WEB, check, fetch, page_at, page_on, ping_across, secret_file
from .engine import Engine


def forwards(server: Engine, laptop: Engine) -> None:
    sidecar, client = folder_of("sidecar", server), folder_of("client", laptop)
    app = {"image": server.image, "user": "root", "entrypoint": "python3", "command": list(WEB)}
    volumes = [f"{page_on(server.host)}:/page:ro"]
    override(sidecar, toxvpn={"volumes": [config_of(server)]}, app=app | {"volumes": volumes})
    with check("compose, sidecar: up, and says its Tox ID"):
        server.compose(sidecar, "up", "--detach")
        inside = ("exec", "-T", "toxvpn")
        show = (*inside, "cat", "/var/lib/toxvpn/secret")
        secret = wait_until(lambda: server.compose(sidecar, *show, check=False), "secret", 20)
        tox_id = server.compose(sidecar, *inside, "toxvpn", "id")
    with check("compose, client: the app's page, since `up`"):
        override(client, toxvpn={"volumes": [f"{laptop.settings}/nodes.json:/nodes.json:ro"]})
        config = client / "config.toml"
        nodes = '[node]\nnodes_file = "/nodes.json"\n\n'
        config.write_text(nodes + config.read_text().replace("TOX-ID", tox_id))
        secret_file(laptop.host, secret).rename(client / "secret")
        laptop.compose(client, "up", "--detach")
        fetch(laptop.host, "127.0.0.1", timeout_s=60)
    with check("compose, client: healthy, and `inspect` does not show the secret"):
        laptop.compose(client, "exec", "-T", "toxvpn", "toxvpn", "status")
        shown = laptop("inspect", *laptop("ps", "--quiet").split())
        assert "toxvpn" in shown
        assert secret not in shown
    with check("compose, sidecar: what its `allow` does not name is refused"):
        config.write_text(config.read_text().replace("localhost:80", "127.0.0.2:80"))
        laptop.compose(client, "restart")
        wait_until(lambda: is_refused(laptop, server, sidecar), "refusal", 60)
    for engine, folder in ((laptop, client), (server, sidecar)):
        engine.compose(folder, "down", "--volumes", "--timeout=3")


def vpn(server: Engine, laptop: Engine) -> None:
    places = [(engine, folder_of("vpn", engine)) for engine in (server, laptop)]
    with check("compose, vpn: the hosts ping each other"):
        for engine, folder in places:
            override(folder, toxvpn={"volumes": [config_of(engine)]})
        ids = [engine.compose(folder, "run", "--rm", "-T", "toxvpn", "id") for engine, folder in places]
        for (engine, folder), other in zip(places, reversed(ids), strict=True):
            folder.joinpath(".env").write_text(f"PEER={other}\n")
            engine.compose(folder, "up", "--detach")
        status = ("exec", "-T", "toxvpn", "toxvpn", "status", "--json")
        ping_across(server.host, lambda: laptop.compose(places[1][1], *status))
    for engine, folder in places:
        engine.compose(folder, "down", "--volumes", "--timeout=5")


def folder_of(example: str, engine: Engine) -> Path:
    """A copy of the example for that host."""
    return shutil.copytree(REPOSITORY / "contrib/compose" / example, engine.host.directory / example)


def config_of(engine: Engine) -> str:
    return f"{engine.settings}:/etc/toxvpn:ro"


def override(folder: Path, **services: dict[str, Any]) -> None:
    """JSON is YAML."""
    folder.joinpath("compose.override.yaml").write_text(json.dumps({"services": services}))


def is_refused(laptop: Engine, server: Engine, sidecar: Path) -> bool:
    """Whether nothing is fetched through the forward, and the server's log says that it may not be."""
    log = server.compose(sidecar, "logs", "toxvpn")
    return not page_at(laptop.host, "127.0.0.1") and "no rule allows it" in log
