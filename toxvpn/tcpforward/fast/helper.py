"""The process that owns a private stack: a network namespace in which one TUN interface is all.

In, over a SEQPACKET socket: what to build, then requests, one JSON object each ({"listen": PORT};
{"sockets": N} of TCP; {"datagrams": N} of UDP). Out: one answer each, {} with descriptors beside it
(SCM_RIGHTS) or {"error": reason}; the first is what was built, with the TUN descriptor.

A process of its own, started fresh (`stack.py`), because a user namespace is only open to a process
with a single thread; the descriptors that leave it keep belonging to the namespace. It ends when
the socket closes or its parent dies, and the namespace with the last descriptor of it.

No user is mapped into the user namespace: the rights over the network come with being inside, and
files are opened as who we are outside. Started by root it needs no user namespace. When all is built it
has no use for rights any more, and gives them up, and root's IDs if its parent has done so.
"""

import contextlib
import json
import os
import signal
import socket

from ... import linux
from ...errors import ToxvpnError
from ...namespaces import BuildError, die_with, enter_namespace, set_sysctl, without_rights
from ...tun.host import device
from . import patience
from .interface import configure

PROCESS_NAME = "toxvpn-stack"  # for ps and top
MIB = 1 << 20
BACKLOG = 4096  # as net.core.somaxconn, which caps it
REQUEST_BYTES = 1024
KEEP_ALIVE_OPTIONS = (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)

# Wanted in the private namespace alone, one by one, as far as the kernel has them and lets us.
SYSCTLS = {
    # the host may have IPv6 switched off
    "net/ipv6/conf/all/disable_ipv6": "0",
    "net/ipv6/conf/default/disable_ipv6": "0",
    # no link-local address, nobody to solicit: what nobody asked for does not go over Tox
    "net/ipv6/conf/default/addr_gen_mode": "1",
    "net/ipv6/conf/default/router_solicitations": "0",
    # 1 % of lost packets leaves CUBIC a small part of the link, BBR nearly all
    "net/ipv4/tcp_congestion_control": "bbr",
    "net/ipv4/tcp_slow_start_after_idle": "0",
    # where large packets get lost without a word, smaller ones are tried (RFC 4821)
    "net/ipv4/tcp_mtu_probing": "1",
    # But a peer that is away is no narrow path: TCP would go down to 48 bytes while it is. With 1024 the
    # datagram fits into the 1280 bytes that every path has (RFC 8200 §5).
    "net/ipv4/tcp_mtu_probe_floor": "1024",
    # One stream over a path of 100 ms: 240 Mbit/s with the usual 4 MiB, 940 with 16. Most is for who
    # can use it; a buffer grows with what its path takes.
    "net/ipv4/tcp_wmem": f"4096 16384 {16 * MIB}",
    "net/ipv4/tcp_rmem": f"4096 131072 {32 * MIB}",
    # A large datagram comes in fragments, one right behind the other. What is incomplete must not take the
    # room of later ones for a minute.
    "net/ipv6/ip6frag_time": "2",
    "net/ipv6/ip6frag_high_thresh": str(16 * MIB),
    # Data in the SYN, both ways, without cookies (0x1 0x2 0x4 0x200 0x400): they guard against forged
    # source addresses, and here the source is checked against the sender's key. A lost SYN is no
    # reason to do without for an hour.
    "net/ipv4/tcp_fastopen": str(0x607),
    "net/ipv4/tcp_fastopen_blackhole_timeout_sec": "0",
}


def main(control_fd: int, parent: int) -> None:
    """The first message is {"address": IPv6, "prefix": network that is routed into the TUN, "mtu": bytes,
    "uid", "gid": who to be, "keep_s": how long streams wait for an answer}."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # it ends with its parent, not before
    with socket.socket(fileno=control_fd) as control, contextlib.suppress(ConnectionError):
        config = control.recv(REQUEST_BYTES)
        if not config:
            return
        try:
            wanted = json.loads(config)
            tun, facts = build(parent, **wanted)
        except BuildError as failure:
            control.send(json.dumps({"error": str(failure)}).encode())
            return
        socket.send_fds(control, [json.dumps(facts).encode()], [tun.fd])
        tun.close()
        serve(control, wanted["address"], patience.keep_alive(wanted["keep_s"]))


def build(
    parent: int, address: str, prefix: str, mtu: int, uid: int, gid: int, keep_s: int
) -> tuple[device.TunDevice, dict[str, str | int]]:
    """Enters a new namespace and sets it up. Raises BuildError."""
    was_root = os.geteuid() == 0
    rootless = enter_namespace()
    die_with(parent, PROCESS_NAME)
    for name, value in SYSCTLS.items():
        set_sysctl(name, value)
    longest_s = patience.longest_rto_s(keep_s)
    if not set_sysctl("net/ipv4/tcp_rto_max_ms", str(round(longest_s * 1000))):
        longest_s = patience.LONGEST_RTO_S
    set_sysctl("net/ipv4/tcp_retries2", str(patience.repetitions(keep_s, longest_s)))
    try:
        tun = device.open_tun("stack")
        configure(tun.name, address, prefix, mtu)
        if was_root and uid != 0:
            become(uid, gid)
            die_with(parent, PROCESS_NAME)  # a change of user takes such wishes back, too
        with contextlib.suppress(OSError):  # a filter of system calls
            linux.keep_only(())
            linux.no_new_privileges()
    except device.TunForbiddenError as error:
        raise BuildError(str(error)) from None
    except (ToxvpnError, OSError) as error:
        raise BuildError(without_rights(error) if rootless else str(error)) from None
    return tun, {
        "address": address,
        "name": tun.name,
        "vnet_hdr": tun.vnet_hdr,
        "offload": int(tun.offload),
    }


def become(uid: int, gid: int) -> None:
    """Raises OSError."""
    os.setgroups([])
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)


def serve(control: socket.socket, address: str, keep_alive: patience.KeepAlive) -> None:
    """Answers requests until the other side is gone."""
    while request := control.recv(REQUEST_BYTES):
        made: list[socket.socket] = []
        answer: dict[str, str] = {}
        try:
            made = _make(json.loads(request), address, keep_alive)
        except OSError as error:
            answer["error"] = str(error.strerror)
        socket.send_fds(control, [json.dumps(answer).encode()], [sock.fileno() for sock in made])
        for sock in made:
            sock.close()


def _make(request: dict[str, int], address: str, keep_alive: patience.KeepAlive) -> list[socket.socket]:
    """Raises OSError."""
    if "listen" in request:
        listener = _tcp_socket(keep_alive)
        try:
            listener.bind((address, request["listen"]))
            listener.listen(BACKLOG)
        except BaseException:
            listener.close()
            raise
        return [listener]
    if "datagrams" in request:
        return [_udp_socket() for _ in range(request["datagrams"])]
    return [_tcp_socket(keep_alive) for _ in range(request["sockets"])]


def _udp_socket() -> socket.socket:
    return socket.socket(socket.AF_INET6, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)


def _tcp_socket(keep_alive: patience.KeepAlive) -> socket.socket:
    """A socket with our options; those of a listener also hold for what it accepts."""
    sock = socket.socket(socket.AF_INET6, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in zip(KEEP_ALIVE_OPTIONS, keep_alive, strict=True):
        sock.setsockopt(socket.IPPROTO_TCP, option, value)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock
