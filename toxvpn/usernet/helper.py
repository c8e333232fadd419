"""The process that owns a namespace for a VPN without root: a user namespace, and a network namespace in it.

Out, over a SEQPACKET socket: {"pid": ours} as soon as there are both, or {"error": reason}. Then for each
request one answer, {} with its results and maybe a descriptor beside it, or an error:

    {"socket": [family, type, protocol]}    a socket
    {"tun": name, "offload": bool}          a TUN device, with the fields of TunDevice
    {"read": key}                           {"value": ...} of a sysctl
    {"write": key, "value": text}
    {"nft": script, "what": ..., "flags": int}  {"output": ...} (nftables.run)

An error has "error", the line for a person, and "errno" or "exit_code" (errors.py).

A process of its own (namespace.py starts it), because a user namespace is only open to a process with a
single thread. It ends when the socket closes or its parent dies. Who owns a user namespace and is outside has
all rights in it: what leaves this process as a descriptor is used by its parent for what takes rights there,
such as changes of routes (user_namespaces(7), "Capabilities").
"""

import contextlib
import fcntl
import json
import os
import signal
import socket
import struct
from typing import Any

from ..errors import NoPermissionError, ToxvpnError
from ..namespaces import BuildError, die_with, enter_namespace, map_user, set_sysctl, without_rights
from ..tun.host.device import TunForbiddenError, open_tun
from ..tun.host.namespace import HERE

PROCESS_NAME = "toxvpn-network"  # for ps and top, 15 bytes at most
MESSAGE_BYTES = 1 << 17

_SIOCSIFFLAGS = 0x8914
_IFF_UP = 1


def main(control_fd: int, parent: int) -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # it ends with its parent, not before
    with socket.socket(fileno=control_fd) as control, contextlib.suppress(ConnectionError):
        try:
            build(parent)
        except BuildError as failure:
            _send(control, {"error": str(failure)})
            return
        _send(control, {"pid": os.getpid()})
        while request := control.recv(MESSAGE_BYTES):
            answer, descriptors = respond(json.loads(request))
            _send(control, answer, descriptors)
            for descriptor in descriptors:
                os.close(descriptor)


def build(parent: int) -> None:
    """Enters the namespaces, as who we are outside, and sets up what every network has. Raises BuildError."""
    uid, gid = os.geteuid(), os.getegid()
    enter_namespace(rootless=True)
    die_with(parent, PROCESS_NAME)
    try:
        map_user(uid, gid)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
            fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sh22x", b"lo", _IFF_UP))
    except OSError as error:
        raise BuildError(without_rights(error)) from None
    for name, value in sysctls(gid).items():
        set_sysctl(name, value)


def sysctls(gid: int) -> dict[str, str]:
    """Wanted in this namespace alone, one by one, as far as the kernel has them and lets us."""
    return {
        # the host may have IPv6 switched off
        "net/ipv6/conf/all/disable_ipv6": "0",
        "net/ipv6/conf/default/disable_ipv6": "0",
        # ping without rights; only groups that are mapped can be named
        "net/ipv4/ping_group_range": f"{gid} {gid}",
    }


def respond(request: dict[str, Any]) -> tuple[dict[str, Any], list[int]]:
    """The answer, and the descriptors that go with it."""
    try:
        match request:
            case {"socket": [family, kind, protocol]}:
                return {}, [socket.socket(family, kind, protocol).detach()]
            case {"tun": name, "offload": offload}:
                tun = open_tun(name, offload=offload)
                fields = {"name": tun.name, "vnet_hdr": tun.vnet_hdr, "offload": int(tun.offload)}
                return fields, [tun.fd]
            case {"read": key}:
                return {"value": HERE.read_sysctl(key)}, []
            case {"write": key, "value": value}:
                HERE.write_sysctl(key, value)
                return {}, []
            case {"nft": script, "what": what, "flags": flags}:
                return {"output": HERE.nft(script, what, flags)}, []
    except ToxvpnError as error:
        lacks_rights = isinstance(error, NoPermissionError) and not isinstance(error, TunForbiddenError)
        text = without_rights(error) if lacks_rights else str(error)
        return {"error": text, "exit_code": error.exit_code}, []
    except OSError as error:
        return {"error": str(error.strerror), "errno": error.errno}, []
    raise AssertionError(request)


def _send(control: socket.socket, message: dict[str, Any], descriptors: list[int] | None = None) -> None:
    socket.send_fds(control, [json.dumps(message).encode()], descriptors or [])
