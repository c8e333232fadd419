"""Two hosts behind NATs, a Tox network between them, and a file copied by ssh through `toxvpn -L`.

Everything happens in network namespaces that are gone afterwards; nothing leaves this machine.
"""

import hashlib
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from . import Host, Lab, apps, wait_until

TOXVPN = str(Path(sys.executable).with_name("toxvpn"))
FILE_MB = 20
PORT = 2222
console = Console(highlight=False)


@contextmanager
def step(what: str) -> Iterator[None]:
    """Show what is being done, and then how long it took."""
    began_s = time.monotonic()
    with console.status(what):
        yield
    console.print(f"[green]✓[/] {what} [dim]({time.monotonic() - began_s:.1f} s)[/]")


def show(host: Host, command: str) -> None:
    console.print(f"  [bold]{host.name}[/]$ {command}", soft_wrap=True)


def main() -> None:
    console.print("A server behind one NAT, a laptop behind another, no open port anywhere.\n")
    with Lab() as lab:
        with step("a private internet with 8 Tox bootstrap nodes"):
            lab.bootstrap()
        with step("two NAT routers, and a host behind each"):
            server = lab.nat("office").host("server")
            laptop = lab.nat("home").host("laptop")
        with step("sshd on the server"):
            sshd = apps.sshd(server)
        copy_a_file(lab, server, laptop, sshd)
    console.print("\nEverything has been removed again. For real use see README.md, “Install”.")


def copy_a_file(lab: Lab, server: Host, laptop: Host, sshd: apps.Sshd) -> None:
    environment = {"TOXVPN_SHARED_SECRET": secrets.token_urlsafe()}
    show(server, "TOXVPN_SHARED_SECRET=… toxvpn")
    with step("the server prints its Tox ID"):
        served = server.popen(
            [TOXVPN, "-q", "-C", str(server.directory / "toxvpn"), "-b", str(lab.nodes_json)],
            env=environment, stdout=subprocess.PIPE,
        )  # fmt: skip
        assert served.stdout is not None
        tox_id = served.stdout.readline().decode().strip()
        if not tox_id:
            sys.exit("the server did not start")
    console.print(f"  {tox_id}", soft_wrap=True)
    with step("the server joins the Tox network (later clients find it warm)"):
        laptop.run(
            [TOXVPN, "-q", "-b", str(lab.nodes_json), "-i", tox_id, "-p"], env=environment, timeout_s=90
        )

    show(laptop, f"TOXVPN_SHARED_SECRET=… toxvpn -i {tox_id[:8]}… -L {PORT}:localhost:22")
    began_s = time.monotonic()
    laptop.popen(
        [TOXVPN, "-q", "-b", str(lab.nodes_json), "-i", tox_id, "--no-share", "-L", f"{PORT}:localhost:22"],
        env=environment,
    )
    original = laptop.directory / "original"
    original.write_bytes(os.urandom(FILE_MB << 20))
    with step("ssh through it, from start to the first answer"):
        wait_until(lambda: answers(laptop), f"the listener on port {PORT}", 20)
        name = laptop.run(sshd.client(f"-p{PORT}", "root@localhost", "echo connected"), timeout_s=60).stdout
        assert name == "connected\n", name
    console.print(f"  [dim]{time.monotonic() - began_s:.1f} s after the laptop's toxvpn was started[/]")

    show(laptop, f"scp -P {PORT} original root@localhost:copy")
    copy = server.directory / "copy"
    began_s = time.monotonic()
    with step(f"{FILE_MB} MB copied"):
        scp = ["scp", *sshd.client()[1:], "-q", f"-P{PORT}", str(original), f"root@localhost:{copy}"]
        laptop.run(scp, timeout_s=180)
    rate = FILE_MB / (time.monotonic() - began_s)
    same = hashlib.sha256(original.read_bytes()).digest() == hashlib.sha256(copy.read_bytes()).digest()
    console.print(f"  {rate:.1f} MB/s, and the copy is {'identical' if same else 'DIFFERENT'}")
    if not same:
        sys.exit(1)


def answers(host: Host) -> bool:
    try:
        host.connect("127.0.0.1", PORT).close()
    except OSError:
        return False
    return True


if __name__ == "__main__":
    if os.geteuid() != 0:
        sys.exit("scripts/demo makes network namespaces and needs root: sudo scripts/demo")
    main()
