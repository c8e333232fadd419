"""The demonstrations. Each is a function of the scene, starts what it needs and stops it again."""

import ipaddress
import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from .machine import PATIENCE_S, Machine, Scene, copy_file, wait_for
from .network import direct, network, printed_id, up
from .steps import check, show, step

SSH_PORT = 2022
MEGABYTES = 2
LAB = "permanent"  # addresses of the lab are; those of Vagrant's interface are from DHCP


def enclosed(scene: Scene) -> None:
    """There is no way between the hosts but through the NAT routers, which let nobody in."""
    internet = scene.internet
    public, *_ = addresses(internet, LAB)
    for host, nat in ((scene.server, scene.server_nat), (scene.laptop, scene.laptop_nat)):
        show(host, f"ping {public}")
        with step("the internet answers, by the one way out") as told:
            told.found = host.run("ip -4 route show default").strip()
            host.run(f"ping -c 3 -i 0.2 -W 5 {public}")
        reachable = {*addresses(host), *addresses(internet, LAB), *addresses(nat, LAB)}
        with step("nothing else does: no other machine, nor the computer that runs them all") as told:
            others = {address for machine in scene.machines for address in addresses(machine)} | beside(host)
            silent(host, others - reachable)
            told.found = f"tried {', '.join(sorted(others - reachable))}"
    with step("the NAT routers drop what comes from the internet unasked"):
        for nat in (scene.server_nat, scene.laptop_nat):
            silent(internet, set(addresses(nat)))


def forward(scene: Scene) -> None:
    """ssh, and a file by scp, through one forwarded port."""
    server, laptop = scene.server, scene.laptop
    with (
        ssh_server(server) as ssh_options,
        server.running("serve", "toxvpn --secret-file secret") as serving,
    ):
        for name in ("sshd/client_key", "sshd/known_hosts", "secret"):
            laptop.run("mkdir -p sshd")
            copy_file(name, server, laptop)
        show(server, "toxvpn --secret-file secret")
        with step("the server prints its Tox ID") as told:
            tox_id = told.found = wait_for(lambda: printed_id(serving), "Tox ID", PATIENCE_S)
        command = f"toxvpn --no-share --secret-file secret -i {tox_id} -L 2222:localhost:{SSH_PORT}"
        show(laptop, command)
        with laptop.running("forward", command) as forwarding:
            with step("ssh to port 2222 of the laptop ends up on the server") as told:
                forwarding.wait_listening(2222)
                told.found = laptop.run(
                    f"ssh {ssh_options} -p 2222 root@localhost 'echo $SSH_CONNECTION'"
                ).strip()
            laptop.run(f"head -c {MEGABYTES}M /dev/urandom >original")
            show(laptop, "scp -P 2222 original root@localhost:copy")
            with step(f"a file of {MEGABYTES} MB is copied") as told:
                directory = server.run("pwd").strip()
                began_s = time.monotonic()
                laptop.run(
                    f"scp -q {ssh_options} -P 2222 original root@localhost:{directory}/copy",
                )
                told.found = f"{MEGABYTES / (time.monotonic() - began_s):.1f} MB/s"
            with step("the copy is identical"):
                check(digest(laptop, "original") == digest(server, "copy"), "it differs")


def vpn(scene: Scene) -> None:
    """Both hosts on a network: ping, and iperf3 over a direct path."""
    with network(scene) as hosts:
        for address in (hosts.server.ipv4, hosts.server.ipv6):
            show(scene.laptop, f"ping {address}")
            with step("the server answers") as told:
                told.found = scene.laptop.run(f"ping -c 5 -i 0.2 -W 10 {address}").splitlines()[-1]
        direct(hosts)
        with scene.server.running("iperf3", "iperf3 -s") as iperf3:
            iperf3.wait_listening(5201)
            for options, what in (("", "laptop to server"), (" -R", "server to laptop")):
                command = f"iperf3 -c {hosts.server.ipv4} -t 3{options}"
                show(scene.laptop, command)
                with step(f"TCP, {what}") as told:
                    report = json.loads(scene.laptop.run(f"{command} -J"))
                    told.found = f"{report['end']['sum_received']['bits_per_second'] / 1e6:.1f} Mbit/s"


def share(scene: Scene) -> None:
    """A file share (Samba) that exists on the VPN alone."""
    server, laptop = scene.server, scene.laptop
    with (
        network(scene) as hosts,
        server.running("samba", f"{server.provision}/samba.sh $PWD/samba {hosts.server.ipv4}/10") as smbd,
    ):
        client = f"smbclient -N //{hosts.server.ipv4}/files"
        with step(f"a Samba server listens on {hosts.server.ipv4}"):
            smbd.wait_listening(445)
        laptop.run("head -c 2M /dev/urandom >photo")
        for command in ("put photo", "ls", "get photo copy"):
            show(laptop, f"{client} -c '{command}'")
            with step(command):
                said = laptop.run(f"{client} -c '{command}'")
                check(command != "ls" or "photo" in said, said)
        with step("what came back is what was put there"):
            check(digest(laptop, "photo") == digest(laptop, "copy"), "it differs")
            check(digest(laptop, "photo") == digest(server, "samba/files/photo"), "the server has another")


def relay(scene: Scene) -> None:
    """A firewall that blocks UDP: the VPN goes on over a TCP relay, and back once it may."""
    with network(scene) as hosts:
        direct(hosts)
        nat = scene.laptop_nat
        show(nat, "nat.sh udp-blocked")
        nat.run(f"{nat.provision}/nat.sh udp-blocked")
        try:
            with step("the path changes to a relay") as told:
                wait_for(lambda: hosts.path() == "tcp-relay", "relayed path", PATIENCE_S)
                told.found = hosts.path()
            with step("the server still answers") as told:
                told.found = scene.laptop.run(f"ping -c 5 -i 0.2 -W 10 {hosts.server.ipv4}").splitlines()[-1]
        finally:
            show(nat, "nat.sh cone")
            nat.run(f"{nat.provision}/nat.sh cone")
        direct(hosts)


def killed(scene: Scene) -> None:
    """The server's toxvpn is killed and started again: same Tox ID, and the laptop finds it by itself."""
    server, laptop = scene.server, scene.laptop
    with network(scene) as hosts:
        tox_id = server.run("toxvpn id").strip()
        show(server, "kill -KILL …")
        hosts.server.up.kill()
        with step("the server no longer answers"):
            wait_for(lambda: not answers(laptop, hosts.server.ipv4), "silence", PATIENCE_S)
        show(server, "toxvpn up …")
        with up(server, hosts.laptop.tox_id) as again:
            with step("it has the same Tox ID as before") as told:
                told.found = wait_for(lambda: printed_id(again), "Tox ID", PATIENCE_S)
                check(told.found == tox_id, f"it was {tox_id}")
            with step("the laptop's ping is answered again, with nothing done there"):
                wait_for(lambda: answers(laptop, hosts.server.ipv4), "answer", PATIENCE_S)


Demo = Callable[[Scene], None]
DEMOS: tuple[Demo, ...] = (enclosed, forward, vpn, share, relay, killed)
PROGRAMS: dict[Demo, tuple[str, ...]] = {vpn: ("iperf3",), share: ("smbd", "smbclient")}


def missing_programs(scene: Scene, demo: Demo) -> list[str]:
    return [name for name in PROGRAMS.get(demo, ()) if not scene.server.succeeds(f"command -v {name}")]


# -- odds and ends


@contextmanager
def ssh_server(machine: Machine) -> Iterator[str]:
    """Yields the options of an ssh client that has copies of its client_key and known_hosts."""
    machine.run("umask 077; head -c 15 /dev/urandom | base64 >secret")
    with machine.running("sshd", f"{machine.provision}/sshd.sh $PWD/sshd {SSH_PORT}") as sshd:
        sshd.wait_listening(SSH_PORT)
        options = ("UserKnownHostsFile=sshd/known_hosts", "StrictHostKeyChecking=yes", "BatchMode=yes")
        yield f"-F none -i sshd/client_key -o{' -o'.join(options)}"


def addresses(machine: Machine, kind: str = "") -> list[str]:
    listed = machine.run(f"ip -4 -o address show scope global {kind}")
    return [word.split("/")[0] for word in re.findall(r"inet (\S+)", listed)]


def beside(machine: Machine) -> set[str]:
    """Where the computer that runs the machine may be: the first addresses of its networks."""
    listed = machine.run("ip -4 -o address show scope global")
    networks = [ipaddress.ip_interface(word).network for word in re.findall(r"inet (\S+)", listed)]
    return {str(network[number]) for network in networks if network.num_addresses > 2 for number in (1, 2)}


def silent(machine: Machine, others: set[str]) -> None:
    """Check that none of these addresses answers the machine's pings."""
    pings = f"for a in {' '.join(others)}; do ping -c 1 -W 2 $a >/dev/null && echo $a & done; wait"
    answering = machine.run(pings).split()
    check(not answering, f"{', '.join(answering)} answered")


def answers(machine: Machine, address: str) -> bool:
    return machine.succeeds(f"ping -c 1 -W 2 {address}")


def digest(machine: Machine, path: str) -> str:
    return machine.run(f"sha256sum <{path}")
