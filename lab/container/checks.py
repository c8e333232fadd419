"""What an image must do, by the commands of podman or Docker. Each check is a line with PASS and its time."""

import json
import os
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .. import Host, LabError, wait_until
from .engine import Engine

USER = 10001  # toxvpn's, in the image
TUN = "--device=/dev/net/tun"
TIGHT = ("--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges")
PAGE = "a page that no port was opened for\n"
WEB = ("-m", "http.server", "--directory", "/page", "--bind", "127.0.0.1", "80")
ID_DIGITS = 76
SECRET = "/run/secrets/box"


class FailedError(Exception):
    """A check failed, and has been printed."""


@contextmanager
def check(what: str) -> Iterator[None]:
    began_s = time.monotonic()
    try:
        yield
    except (LabError, AssertionError) as error:
        print(f"FAIL  {what}: {error}", flush=True)  # noqa: T201
        raise FailedError from error
    print(f"PASS  {what} ({time.monotonic() - began_s:.1f} s)", flush=True)  # noqa: T201


def look_at_image(engine: Engine) -> None:
    with check("the image: an ordinary user, a volume, a health check, `toxvpn` to start"):
        [found] = json.loads(engine("image", "inspect", engine.image))
        config = found["Config"]
        assert config["Entrypoint"] == ["toxvpn"], config
        assert config["User"] == str(USER), config
        assert list(config["Volumes"]) == ["/var/lib/toxvpn"], config
        assert config["StopSignal"] in ("SIGTERM", "15"), config
        health = config.get("Healthcheck") or found.get("Healthcheck")
        assert health["Test"] == ["CMD", "toxvpn", "status"], health
    with check(f"toxvpn's own parts are in force in it; {found['Size'] / 1e6:.0f} MB unpacked"):
        versions = engine("run", "--rm", "--network=none", *TIGHT, engine.image, "-V")
        assert versions.count(": in force") >= 4, versions


def forwards(server: Engine, laptop: Engine) -> None:
    """A sidecar and its client: first without any right, then with what the fast road needs."""
    fast = [TUN] if server.kind == "podman" else [TUN, "--cap-add=SYS_ADMIN", "--cap-add=NET_ADMIN"]
    first = sidecar(server, TIGHT)
    reach(server, laptop, first, "tuntox", TIGHT)
    restart(server, laptop, first)
    stop(server, laptop)
    second = sidecar(server, (*TIGHT, *fast))
    with check("the Tox ID is the same in a new container with the same volume"):
        assert second == first, f"{second} after {first}"
    reach(server, laptop, second, "fast", (*TIGHT, *fast))
    stop(server, laptop)


def sidecar(server: Engine, rights: tuple[str, ...]) -> str:
    """A server, and an app on its network; the Tox ID."""
    page = page_on(server.host)
    with check(f"a server with {' '.join(rights)}"):
        state = f"--volume={server.name('state')}:/var/lib/toxvpn"
        server.start("box", *rights, *server.writable_run, state)
        server.start(
            "app", f"--network=container:{server.name('box')}", "--user=root", f"--volume={page}:/page:ro",
            "--entrypoint=python3", words=WEB,
        )  # fmt: skip
        tox_id = wait_until(lambda: server.log("box").partition("\n")[0], "Tox ID", 20)
        assert len(tox_id) == ID_DIGITS, tox_id
    with check("its health check passes"):
        status = ("exec", server.name("box"), "toxvpn", "status")
        wait_until(lambda: server.succeeds(*status), "status", 20)
    return tox_id


def reach(server: Engine, laptop: Engine, tox_id: str, road: str, rights: tuple[str, ...]) -> None:
    secret = secret_file(laptop.host, server("exec", server.name("box"), "cat", "/var/lib/toxvpn/secret"))
    with check("a client with the same; the app's page, since the client was started"):
        laptop.start(
            "reach", *rights, *laptop.writable_run, "--no-healthcheck", f"--volume={secret}:{SECRET}:ro",
            words=("-i", tox_id, "--secret-file", SECRET, "-L", "0.0.0.0:8080:localhost:80"),
        )  # fmt: skip
        fetch(laptop.host, laptop.address("reach"), timeout_s=60)
    with check(f"the {road} road was taken"):
        log = laptop.log("reach")
        assert f"streams take the {road} road" in log, log


def restart(server: Engine, laptop: Engine, tox_id: str) -> None:
    with check("after a restart of the server and its app the same client fetches it again"):
        server("restart", server.name("box"))
        server("restart", "--time=1", server.name("app"))  # its network went with the server's container
        fetch(laptop.host, laptop.address("reach"), timeout_s=120)
        assert server.log("box").count(tox_id) >= 2, server.log("box")


def stop(server: Engine, laptop: Engine) -> None:
    laptop.remove("reach")
    server.remove("app")
    with check("SIGTERM ends the server"):
        server("stop", server.name("box"))
        code = server("inspect", server.name("box"), "--format={{.State.ExitCode}}")
        assert code == str(128 + 15), f"exit code {code}"
    server.remove("box")


def vpn(server: Engine, laptop: Engine) -> None:
    """Two hosts: the only use that needs a device and a capability."""
    engines = (server, laptop)
    if server.kind == "podman":
        rights: tuple[str, ...] = (*TIGHT, "--cap-add=NET_ADMIN", TUN)
        words: tuple[str, ...] = ("up",)
    else:
        rights, words = ("--user=root", "--cap-add=NET_ADMIN", TUN), ("up", "-U", "toxvpn")
    state = [f"--volume={engine.name('vpn')}:/var/lib/toxvpn" for engine in engines]
    with check(f"`{' '.join(words)}` with {' '.join(rights)}: the hosts ping each other"):
        ids = [
            engine("run", "--rm", "--network=none", volume, engine.image, "id")
            for engine, volume in zip(engines, state, strict=True)
        ]
        for engine, volume, other in zip(engines, state, reversed(ids), strict=True):
            engine.start("net", "--network=host", *rights, volume, words=(*words, "--peer", other))
        ping_across(server.host, lambda: laptop("exec", laptop.name("net"), "toxvpn", "status", "--json"))
    with check("the running toxvpn is an ordinary user with NET_ADMIN and no other right"):
        status = server("exec", server.name("net"), "cat", "/proc/1/status")
        assert f"Uid:\t{USER}\t" in status, status
        assert "CapEff:\t0000000000001000" in status, status
    with check("it leaves no device behind"):
        for engine in engines:
            engine.remove("net")
        assert "toxvpn0" not in server.host.run(["ip", "link"]).stdout


def ping_across(host: Host, status_of_other: Callable[[], str]) -> None:
    """From `host` to the other's addresses on the network."""

    def own() -> dict[str, Any] | None:
        try:
            found: dict[str, Any] = json.loads(status_of_other())["self"]
        except (LabError, ValueError):
            return None
        return found if found["ipv4"] else None

    addresses = wait_until(own, "address on the network", 30)
    for family in ("ipv4", "ipv6"):
        address = addresses[family]
        wait_until(lambda address=address: host.ping(address), f"answer from {address}", 60)  # type: ignore[misc]


def fetch(host: Host, address: str, *, timeout_s: float) -> None:
    wait_until(lambda: page_at(host, address) == PAGE, f"page from {address}", timeout_s)


def page_at(host: Host, address: str) -> str:
    """What is fetched there; empty when nothing is."""
    command = ["curl", "--silent", "--max-time", "20", f"http://{address}:8080/"]
    return host.run(command, check=False).stdout


def page_on(host: Host) -> Path:
    """A directory with the page."""
    folder = host.directory / "page"
    folder.mkdir(mode=0o755, exist_ok=True)
    folder.joinpath("index.html").write_text(PAGE)
    return folder


def secret_file(host: Host, secret: str) -> Path:
    """A file that only the image's user can read."""
    path = host.directory / secrets.token_hex(4)
    path.touch(mode=0o400)
    path.write_text(secret + "\n")
    os.chown(path, USER, USER)
    return path
