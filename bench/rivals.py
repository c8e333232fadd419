"""The VPNs that people would pick instead, between two hosts of the lab, set up as their manuals say.

Each builder starts one and returns; `wait_answer` waits until the far side is reached through it. Nothing is
tuned: no cipher, buffer or MTU is chosen for them. Keys and configurations live and go with the lab. What
comes first in PATH is taken: newest.py unpacks newer ones in a folder of their own. Those that need a kind of
interface from the kernel are there where the kernel makes one.
"""

import json
import os
import platform
import shutil
import subprocess
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from lab import Host, LabError, wait_until

from .harness import progress
from .traffic import answers
from .versions import version

ANSWER_S = 30.0
PORT = 51820


@dataclass(frozen=True, slots=True)
class Addresses:
    """Addresses of the near and the far host, outside or inside a tunnel."""

    near_ipv4: str
    far_ipv4: str
    near_ipv6: str
    far_ipv6: str

    @classmethod
    def inside(cls, number: int) -> "Addresses":
        """The addresses inside the tunnel with this number."""
        return cls(f"10.99.{number}.1", f"10.99.{number}.2", f"fd99:{number}::1", f"fd99:{number}::2")


@dataclass(frozen=True, slots=True)
class Side:
    """One end of a tunnel: where it runs, and the addresses from its point of view."""

    host: Host
    directory: Path
    outer: str
    other_outer: str
    ipv4: str
    other_ipv4: str
    ipv6: str
    other_ipv6: str
    pids: list[int] = field(default_factory=list, compare=False)
    """Of the programs that have been started."""

    def run(self, *argv: str, input: str | None = None) -> str:
        return self.host.run(argv, input=input, cwd=self.directory).stdout

    def start(self, *argv: str) -> None:
        """Start a program on the host, with its log beside its configuration."""
        with self.directory.joinpath("log").open("wb") as log:
            process = self.host.popen(argv, cwd=self.directory, stdout=log, stderr=subprocess.STDOUT)
        self.pids.append(process.pid)

    def configure(self, interface: str, *own: str) -> None:
        """Give the interface its addresses and bring it up, as soon as it is there."""

        def attempt() -> bool:
            try:
                self.host.namespace.configure(interface, own)
            except ValueError:  # not there yet
                return False
            return True

        wait_until(attempt, f"interface {interface}; the log: {self.directory / 'log'}")


Build = Callable[[Side, Side], None]


@dataclass(frozen=True, slots=True)
class Rival:
    """How one is set up, the program it needs and the Debian package of that.

    `kinds`: the kinds of interface of which the kernel must make one.
    """

    build: Build
    program: str
    package: str
    kinds: tuple[str, ...] = ()


def build(name: str, near: Host, far: Host, outer: Addresses, inner: Addresses) -> tuple[Side, Side]:
    """Start both sides of RIVALS[name]."""
    near_directory, far_directory = near.directory / name, far.directory / name
    near_side = Side(
        near, near_directory, outer.near_ipv4, outer.far_ipv4,
        inner.near_ipv4, inner.far_ipv4, inner.near_ipv6, inner.far_ipv6,
    )  # fmt: skip
    far_side = Side(
        far, far_directory, outer.far_ipv4, outer.near_ipv4,
        inner.far_ipv4, inner.near_ipv4, inner.far_ipv6, inner.near_ipv6,
    )  # fmt: skip
    for side in (near_side, far_side):
        side.directory.mkdir()
    RIVALS[name].build(near_side, far_side)
    return near_side, far_side


def wait_answer(near: Host, inner: Addresses, name: str) -> None:
    for address in (inner.far_ipv4, inner.far_ipv6):
        wait_until(partial(answers, near, address), f"answer of {address} through {name}", ANSWER_S, 0.2)


def available(host: Host, chosen: Collection[str]) -> dict[str, str]:
    """The versions of those of `chosen` that can run; what the others lack is told."""
    found = {}
    for name in chosen:
        rival = RIVALS[name]
        if not (path := shutil.which(rival.program, path=SEARCHED)):
            progress(f"{name} is left out: {rival.program} is not installed")
        elif rival.kinds and not any(makes(host, kind) for kind in rival.kinds):
            progress(f"{name} is left out: the kernel makes no interface of kind {' or '.join(rival.kinds)}")
        else:
            found[name] = version(path, rival.package)
            if rival.kinds:
                found[name] += f" with Linux {platform.release()}"
    return found


def makes(host: Host, kind: str) -> bool:
    """Whether the kernel makes such interfaces; it may load a module for that."""
    interface = ["dev", "probe"]
    if host.run(["ip", "link", "add", *interface, "type", kind], check=False).returncode:
        return False
    host.run(["ip", "link", "delete", *interface])
    return True


def kind_of(host: Host, interface: str) -> str:
    shown = json.loads(host.run(["ip", "-json", "-details", "link", "show", "dev", interface]).stdout)
    return str(shown[0].get("linkinfo", {}).get("info_kind"))


# -- OpenVPN: TLS between two, each knowing the other's certificate --------------------------------------


def openvpn(near: Side, far: Side, *, offload: bool = False) -> None:
    """`offload`: packets go by the kernel (DCO), else always by the program."""
    name, port = ("ovpn-dco", PORT + 5) if offload else ("tun-openvpn", PORT)
    fingerprints = {side: certificate(side) for side in (near, far)}
    for side, other in ((near, far), (far, near)):
        side.directory.joinpath("openvpn.conf").write_text(
            f"""
dev {name}
dev-type tun
{"" if offload else "disable-dco"}
local {side.outer}
remote {side.other_outer} {port}
port {port}
ifconfig {side.ipv4} {side.other_ipv4}
ifconfig-ipv6 {side.ipv6}/64 {side.other_ipv6}
{"tls-client" if side is near else "tls-server"}
dh none
cert certificate.pem
key key.pem
peer-fingerprint {fingerprints[other]}
"""
        )
        side.start("openvpn", "--config", "openvpn.conf")
    if offload:
        wait_until(partial(answers, near.host, near.other_ipv4), f"answer through {name}", ANSWER_S, 0.2)
        if kind_of(near.host, name) not in OFFLOADS:
            raise LabError(f"this openvpn does not use the kernel's {' or '.join(OFFLOADS)}")


def certificate(side: Side) -> str:
    """Make a certificate and its key, and return its SHA-256 fingerprint."""
    side.run(
        "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
        "-days", "2", "-subj", f"/CN={side.host.name}", "-keyout", "key.pem", "-out", "certificate.pem",
    )  # fmt: skip
    text = side.run("openssl", "x509", "-fingerprint", "-sha256", "-noout", "-in", "certificate.pem")
    return text.partition("=")[2].strip()


# -- WireGuard in the kernel, and wireguard-go -------------------------------------------------------------


def wireguard(near: Side, far: Side) -> None:
    for side in (near, far):
        side.host.namespace.add_link(ifname="wg-kernel", kind="wireguard")
    wireguard_keys(near, far, ("wg-kernel", "wg-kernel"), PORT + 4)


def wireguard_go(near: Side, far: Side) -> None:
    # its socket is named after the interface, in a directory that both hosts share
    interfaces = f"wg-{near.host.name}", f"wg-{far.host.name}"
    for side, interface in zip((near, far), interfaces, strict=True):
        side.start("wireguard-go", "-f", interface)
    wireguard_keys(near, far, interfaces, PORT + 1)


def wireguard_keys(near: Side, far: Side, interfaces: tuple[str, str], port: int) -> None:
    """Addresses and keys for interfaces that are there or will soon be."""
    publics = {}
    for side in (near, far):
        private = side.run("wg", "genkey")
        side.directory.joinpath("private").write_text(private)
        publics[side] = side.run("wg", "pubkey", input=private).strip()
    for side, other, interface in ((near, far, interfaces[0]), (far, near, interfaces[1])):
        side.configure(interface, f"{side.ipv4}/24", f"{side.ipv6}/64")
        side.run(
            "wg", "set", interface, "listen-port", str(port), "private-key", "private",
            "peer", publics[other], "endpoint", f"{side.other_outer}:{port}",
            "allowed-ips", f"{side.other_ipv4}/32,{side.other_ipv6}/128",
        )  # fmt: skip


# -- tinc 1.0 ----------------------------------------------------------------------------------------------


def tinc(near: Side, far: Side) -> None:
    names = {near: "near", far: "far"}
    for side, other in ((near, far), (far, near)):
        hosts = side.directory / "hosts"
        hosts.mkdir()
        connect = f"ConnectTo = {names[other]}" if side is near else ""
        side.directory.joinpath("tinc.conf").write_text(
            f"Name = {names[side]}\nInterface = tun-tinc\n"
            f"BindToAddress = {side.outer} {PORT + 2}\n{connect}\n"
        )
        hosts.joinpath(names[side]).write_text(
            f"Address = {side.outer} {PORT + 2}\nPort = {PORT + 2}\n"
            f"Subnet = {side.ipv4}/32\nSubnet = {side.ipv6}/128\n"
        )
        side.run("tincd", "-c", ".", "-K", "2048")
    for side, other in ((near, far), (far, near)):
        shutil.copy(other.directory / "hosts" / names[other], side.directory / "hosts")
        side.start("tincd", "-c", ".", "-D", "--pidfile=pid")
        side.configure("tun-tinc", f"{side.ipv4}/24", f"{side.ipv6}/64")


# -- Nebula: a certificate authority, and a firewall that lets all through -----------------------------------


def nebula(near: Side, far: Side) -> None:
    near.run("nebula-cert", "ca", "-name", "bench", "-version", "2")
    for side in (near, far):
        networks = f"{side.ipv4}/24,{side.ipv6}/64"
        near.run("nebula-cert", "sign", "-name", side.host.name, "-networks", networks)
    for side, other in ((near, far), (far, near)):
        name = side.host.name
        rule = [{"port": "any", "proto": "any", "host": "any"}]
        known = [f"{other.outer}:{PORT + 3}"]
        configuration = {
            "pki": {"ca": "ca.crt", "cert": f"{name}.crt", "key": f"{name}.key"},
            "static_host_map": {side.other_ipv4: known, side.other_ipv6: known},
            "listen": {"host": side.outer, "port": PORT + 3},
            "tun": {"dev": "tun-nebula"},
            "firewall": {"outbound": rule, "inbound": rule},
        }
        side.directory.joinpath("config.yml").write_text(json.dumps(configuration))  # JSON is YAML too
    for name in ("ca.crt", f"{far.host.name}.crt", f"{far.host.name}.key"):
        shutil.copy(near.directory / name, far.directory)
    for side in (near, far):
        side.start("nebula", "-config", "config.yml")


OFFLOADS = ("ovpn", "ovpn-dco")
"""Of Linux 6.16 with OpenVPN 2.7, and of a module of its own with OpenVPN 2.6."""
SEARCHED = os.environ.get("PATH", "") + ":/usr/local/sbin:/usr/sbin:/sbin"
RIVALS: Mapping[str, Rival] = {
    "openvpn": Rival(openvpn, "openvpn", "openvpn"),
    "openvpn-dco": Rival(partial(openvpn, offload=True), "openvpn", "openvpn", OFFLOADS),
    "wireguard": Rival(wireguard, "wg", "wireguard-tools", ("wireguard",)),
    "wireguard-go": Rival(wireguard_go, "wireguard-go", "wireguard-go"),
    "tinc": Rival(tinc, "tincd", "tinc"),
    "nebula": Rival(nebula, "nebula", "nebula"),
}
