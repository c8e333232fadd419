"""podman or Docker on a host of the lab, with all that is made by it gone afterwards."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from .. import Host, LabError, wait_until

Kind = Literal["podman", "docker"]
EXAMPLE = "toxvpn"
"""The image's name in contrib/compose."""


class Engine:
    """`engine("ps")` is `docker ps` on the host. `settings` is a directory for /etc/toxvpn."""

    def __init__(self, kind: Kind, host: Host, image: str, settings: Path) -> None:
        self.kind, self.host, self.image, self.settings = kind, host, image, settings
        self.env: dict[str, str] = {}
        self._prefix = f"{host.namespace.name}-"  # podman has one store of names for the whole machine
        self._made: list[str] = []

    @property
    def writable_run(self) -> tuple[str, ...]:
        """What --read-only takes besides: podman makes /run a tmpfs, and Docker does not."""
        return () if self.kind == "podman" else ("--tmpfs=/run/toxvpn:uid=10001,mode=700",)

    def __call__(self, *words: str, timeout_s: float = 90.0) -> str:
        """What it printed. Raises LabError."""
        return self.host.run([self.kind, *words], env=self.env, timeout_s=timeout_s).stdout.strip()

    def succeeds(self, *words: str) -> bool:
        return self.host.run([self.kind, *words], env=self.env, check=False).returncode == 0

    def name(self, short: str) -> str:
        """The full name of a container or volume."""
        return self._prefix + short

    def start(self, short: str, *options: str, words: tuple[str, ...] = ()) -> None:
        """`run --detach`, as `short`; podman's are on the host's network, Docker's on its bridge."""
        self._made.append(self.name(short))
        network = ("--network=host",) if self.kind == "podman" else ()
        if any(option.startswith("--network=") for option in options):
            network = ()
        config = f"--volume={self.settings}:/etc/toxvpn:ro"
        name = f"--name={self.name(short)}"
        self("run", "--detach", name, config, *network, *options, self.image, *words)

    def log(self, short: str) -> str:
        """What it printed since it was made, stderr last."""
        done = self.host.run([self.kind, "logs", self.name(short)], env=self.env)
        return done.stdout + done.stderr

    def address(self, short: str) -> str:
        """Where the container listens, as the host sees it."""
        if self.kind == "podman":
            return "127.0.0.1"
        return self("inspect", self.name(short), "--format={{.NetworkSettings.IPAddress}}")

    def remove(self, short: str) -> None:
        self("rm", "--force", self.name(short))
        self._made.remove(self.name(short))

    def compose(self, folder: Path, *words: str, check: bool = True) -> str:
        """`docker compose` in that folder."""
        command = ["docker-compose", *words]
        return self.host.run(command, env=self.env, cwd=folder, timeout_s=120, check=check).stdout.strip()

    def clean(self) -> None:
        for each in reversed(self._made):
            self.host.run([self.kind, "rm", "--force", each], env=self.env, check=False)
        for short in ("state", "vpn"):
            self.host.run([self.kind, "volume", "rm", "--force", self.name(short)], env=self.env, check=False)


@contextmanager
def podman(host: Host, image: str, settings: Path) -> Iterator[Engine]:
    engine = Engine("podman", host, image, settings)
    try:
        yield engine
    finally:
        engine.clean()


@contextmanager
def docker(host: Host, image: str, settings: Path) -> Iterator[Engine]:
    """A daemon of the host's own, in the host's network, with nothing of this machine's; the image comes
    from podman.
    """
    engine = Engine("docker", host, image, settings)
    place = host.directory / "docker"
    place.mkdir()
    engine.env["DOCKER_HOST"] = f"unix://{place}/socket"
    with place.joinpath("log").open("wb") as log:
        daemon = host.popen(
            # its mounts go with the mount namespace
            ["unshare", "--mount", "dockerd", f"--data-root={place}/data", f"--exec-root={place}/run",
             f"--host=unix://{place}/socket", f"--pidfile={place}/pid", "--storage-driver=overlay2"],
            stdout=log, stderr=log,
        )  # fmt: skip
    try:
        wait_until(lambda: engine.succeeds("info"), "Docker daemon", 30)
        archive = place / "image.tar"
        host.run(["podman", "save", "--quiet", f"--output={archive}", image], timeout_s=120)
        engine("load", "--quiet", f"--input={archive}", timeout_s=120)
        archive.unlink()
        engine("tag", image, EXAMPLE)
        yield engine
    except LabError:
        os.write(2, place.joinpath("log").read_bytes()[-1000:])
        raise
    finally:
        engine.clean()
        host.stop(daemon, grace_s=20)
