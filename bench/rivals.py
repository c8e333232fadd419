"""The VPNs that people would pick instead, between two hosts of the lab, set up as their manuals say.

Each builder starts one and returns; `wait_answer` waits until the far side is reached through it. Nothing is
tuned: no cipher, buffer or MTU is chosen for them. Keys and configurations live and go with the lab. What
comes first in PATH is taken: a newer one can be unpacked in a folder of its own.
"""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from lab import Host, wait_until

from .traffic import answers

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

    def run(self, *argv: str, input: str | None = None) -> str:
        return self.host.run(argv, input=input, cwd=self.directory).stdout

    def start(self, *argv: str) -> None:
        """Start a program on the host, with its log beside its configuration."""
        with self.directory.joinpath("log").open("wb") as log:
            self.host.popen(argv, cwd=self.directory, stdout=log, stderr=subprocess.STDOUT)

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


def build(name: str, near: Host, far: Host, outer: Addresses, inner: Addresses) -> None:
    """Start both sides of RIVALS[name]."""
    sides = []
    for host, own, other in ((near, "near", "far"), (far, "far", "near")):
        directory = host.directory / name
        directory.mkdir()
        both = {"near": (outer.near_ipv4, inner.near_ipv4, inner.near_ipv6)}
        both["far"] = (outer.far_ipv4, inner.far_ipv4, inner.far_ipv6)
        (outside, ipv4, ipv6), (other_outside, other_ipv4, other_ipv6) = both[own], both[other]
        sides.append(Side(host, directory, outside, other_outside, ipv4, other_ipv4, ipv6, other_ipv6))
    RIVALS[name][1](*sides)


def wait_answer(near: Host, inner: Addresses, name: str) -> None:
    for address in (inner.far_ipv4, inner.far_ipv6):
        wait_until(partial(answers, near, address), f"answer of {address} through {name}", ANSWER_S, 0.2)


def installed() -> dict[str, str]:
    """The versions of those that are there."""
    paths = {name: shutil.which(program, path=SEARCHED) for name, (program, _) in RIVALS.items()}
    return {name: version(path) for name, path in paths.items() if path}


def version(program: str) -> str:
    asked = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
    found = re.search(r"\d+(?:\.\d+)+\S*", asked.stdout + asked.stderr)
    return found[0] if found else "unknown"


# -- OpenVPN: TLS between two, each knowing the other's certificate --------------------------------------


def openvpn(near: Side, far: Side) -> None:
    fingerprints = {side: certificate(side) for side in (near, far)}
    for side, other in ((near, far), (far, near)):
        side.directory.joinpath("openvpn.conf").write_text(
            f"""
dev tun-openvpn
dev-type tun
local {side.outer}
remote {side.other_outer} {PORT}
port {PORT}
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


def certificate(side: Side) -> str:
    """Make a certificate and its key, and return its SHA-256 fingerprint."""
    side.run(
        "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
        "-days", "2", "-subj", f"/CN={side.host.name}", "-keyout", "key.pem", "-out", "certificate.pem",
    )  # fmt: skip
    text = side.run("openssl", "x509", "-fingerprint", "-sha256", "-noout", "-in", "certificate.pem")
    return text.partition("=")[2].strip()


# -- wireguard-go ----------------------------------------------------------------------------------------


def wireguard_go(near: Side, far: Side) -> None:
    publics = {}
    for side in (near, far):
        private = side.run("wg", "genkey")
        side.directory.joinpath("private").write_text(private)
        publics[side] = side.run("wg", "pubkey", input=private).strip()
    for side, other in ((near, far), (far, near)):
        interface = f"wg-{side.host.name}"  # its socket is named after it, in a directory both hosts share
        side.start("wireguard-go", "-f", interface)
        side.configure(interface, f"{side.ipv4}/24", f"{side.ipv6}/64")
        side.run(
            "wg", "set", interface, "listen-port", str(PORT + 1), "private-key", "private",
            "peer", publics[other], "endpoint", f"{side.other_outer}:{PORT + 1}",
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


SEARCHED = os.environ.get("PATH", "") + ":/usr/local/sbin:/usr/sbin:/sbin"
RIVALS: dict[str, tuple[str, Build]] = {
    "openvpn": ("openvpn", openvpn),
    "wireguard-go": ("wireguard-go", wireguard_go),
    "tinc": ("tincd", tinc),
    "nebula": ("nebula", nebula),
}
"""Each with the program it needs."""
