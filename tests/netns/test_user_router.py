"""A router without root: an ordinary user's toxvpn leads peers to the LAN of its machine."""

import json
import shlex
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from forwards import TOXVPN, USER, private_directory
from vpns import Machine

from lab import Host, Lab, Site

LAN = "10.9.0.0/24", "fd00:9::/64"
WEB, CLOSED, UDP, OWN, FORBIDDEN = 8007, 8008, 8009, 8010, 8011
SIZE_BYTES = 20_000_000
PYTHON = "/usr/bin/python3"
FETCH = "import sys, urllib.request as r; print(len(r.urlopen(sys.argv[1], timeout=10).read()))"
CONNECT = (
    "import socket, sys; s = socket.create_connection((sys.argv[1], int(sys.argv[2])), 5); print(s.recv(9))"
)
ASK = (
    "import socket, sys; s = socket.socket(socket.AF_INET6 if ':' in sys.argv[1] else socket.AF_INET, 2); "
    "s.settimeout(5); s.connect((sys.argv[1], int(sys.argv[2]))); s.send(b'hello'); print(s.recv(9))"
)
ECHO = (
    "import socket; s = socket.socket(10, 2); s.bind(('::', {port}))\nwhile True: s.sendto(*s.recvfrom(99))"
)
GREET = (
    "import socket; s = socket.create_server(('127.0.0.1', {port}))\n"
    "while True:\n c, _ = s.accept(); c.send(b'from pi'); c.close()"
)


@dataclass(frozen=True)
class Scene:
    """`pi` is an ordinary user's, with `printer` on its LAN. `box` has root's VPN, `laptop` a user's."""

    lab: Lab
    pi: Site
    printer: Host
    box: Machine
    laptop: Host

    def argv(self, host: Host, *arguments: str) -> list[str]:
        return [*TOXVPN, "-b", str(self.lab.nodes_json), "-C", str(host.directory / "home"), *arguments]

    def toxvpn(self, host: Host, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return host.run(self.argv(host, *arguments), user=USER, check=check, timeout_s=60)

    def id(self, host: Host) -> str:
        return self.toxvpn(host, "id").stdout.strip()

    @property
    def pi_addresses(self) -> list[str]:
        own = json.loads(self.toxvpn(self.pi, "status", "--json").stdout)["self"]
        return [own["ipv4"], own["ipv6"]]


def serve(host: Host, code: str) -> None:
    host.popen([PYTHON, "-c", code], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


@pytest.fixture(scope="module")
def scene(_shared_network: Lab) -> Iterator[Scene]:
    lab = _shared_network
    pi = lab.site("pi", *LAN)
    printer = pi.host("printer")
    made = Scene(lab, pi, printer, Machine(lab, lab.host("box")), lab.host("laptop"))
    pi.run(["sysctl", "-qw", "net.ipv4.ping_group_range=0 2147483647"])
    for host in (pi, made.laptop):
        private_directory(host, "home")
    (printer.directory / "large").write_bytes(bytes(SIZE_BYTES))
    web = [PYTHON, "-m", "http.server", "--bind", "::", "-d", str(printer.directory), str(WEB)]
    printer.popen(web, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    serve(printer, ECHO.format(port=UDP))
    serve(printer, GREET.replace("127.0.0.1", LAN[0].replace("0/24", "2")).format(port=FORBIDDEN))
    serve(pi, GREET.format(port=OWN))
    serve(pi, GREET.format(port=FORBIDDEN))
    networks = [f'"{LAN[0]}:{port}"' for port in (WEB, CLOSED, UDP)]
    networks += [f'"[{LAN[1]}]:{port}"' for port in (WEB, CLOSED, UDP)]
    allow = ", ".join([*networks, '"icmp"', f'"localhost:{OWN}"'])
    peers = "".join(
        f'[peers.{name}]\nid = "{tox_id}"\nallow = [{allow}]\nvpn = true\n'
        for name, tox_id in (("box", made.box.tox_id), ("laptop", made.id(made.laptop)))
    )
    (pi.directory / "home" / "config.toml").write_text(f"[vpn]\nadvertise = {json.dumps(LAN)}\n{peers}")
    made.toxvpn(pi, "up", "--user", "-z")
    own = f'[peers.pi]\nid = "{made.id(pi)}"\nroutes = "all"\nvpn = true\n'
    (made.box.directory / "config.toml").write_text(f"[vpn]\n{own}")
    made.box.start()
    yield made
    made.toxvpn(pi, "down")
    made.box.stop()
    for each in (printer, pi, made.box.host, made.laptop):
        lab.remove(each)


def address(host: Host, family: int) -> str:
    found = (host.ipv4, host.ipv6)[family]
    assert found is not None
    return found


def script(scene: Scene) -> str:
    """Commands of a shell that ask for all there is, over both families."""
    lines = []
    for family in (0, 1):
        printer = address(scene.printer, family)
        host = f"[{printer}]" if family else printer
        for words in (
            (PYTHON, "-c", FETCH, f"http://{host}:{WEB}/large"),
            (PYTHON, "-c", ASK, printer, str(UDP)),
            ("ping", "-c1", "-W5", printer),
            (PYTHON, "-c", CONNECT, printer, str(CLOSED)),
            (PYTHON, "-c", CONNECT, scene.pi_addresses[family], str(OWN)),
        ):
            lines.append(f"{shlex.join(words)} 2>&1")
    return "; ".join(lines)


def check(said: str) -> None:
    for expected in (str(SIZE_BYTES), "b'hello'", " 1 received", "Connection refused", "b'from pi'"):
        assert said.count(expected) == 2, f"not twice {expected}:\n{said}"


def test_a_command_without_root_reaches_what_is_behind_a_router_without_root(scene: Scene) -> None:
    """With the command line of the docs, on a laptop that has never heard of that router."""
    routes = [f"--route={network}={scene.id(scene.pi)}" for network in LAN]
    ran = scene.toxvpn(scene.laptop, "exec", *routes, "--", "sh", "-c", script(scene))
    check(ran.stdout)


def test_to_a_peer_with_roots_vpn_it_is_a_subnet_router_like_any_other(scene: Scene) -> None:
    scene.box.wait()
    scene.box.until(
        lambda: all(each["used"] for each in scene.box.status()["peers"][0]["routes"]), "use of the networks"
    )
    check(scene.box.host.run(["sh", "-c", script(scene)]).stdout)


def test_what_no_rule_names_is_not_reached(scene: Scene) -> None:
    for target in (address(scene.printer, 0), scene.pi_addresses[0]):
        with pytest.raises(OSError), scene.box.host.connect(target, FORBIDDEN, timeout_s=1.5):
            pass


def test_the_machine_itself_is_not_changed(scene: Scene) -> None:
    assert scene.pi.run(["nft", "list", "ruleset"]).stdout == ""
    assert scene.pi.run(["sysctl", "-n", "net.ipv4.ip_forward"]).stdout == "0\n"
    assert "toxvpn" not in scene.pi.run(["ip", "link"]).stdout


def test_a_peer_that_goes_away_leaves_no_connection(scene: Scene) -> None:
    with (
        scene.printer.call(socket.create_server, (address(scene.printer, 0), CLOSED)) as listener,
        scene.box.host.connect(address(scene.printer, 0), CLOSED) as client,
        listener.accept()[0] as accepted,
    ):
        client.sendall(b"hello")
        assert accepted.recv(9) == b"hello"
        config = scene.pi.directory / "home" / "config.toml"
        text = config.read_text()
        config.write_text(
            text.partition("[peers.box]")[0] + "[peers.laptop]" + text.partition("[peers.laptop]")[2]
        )
        scene.toxvpn(scene.pi, "reload")
        accepted.settimeout(5)
        with pytest.raises(ConnectionResetError):
            accepted.recv(9)
