"""Two machines for a trial: network namespaces with a cable between them, or this machine twice.

In: nothing. Out: `Machines`. This process makes the namespaces and lives in the laptop's from then on, so it
must have one thread. They vanish with the last process in them. No user's rights grow: in namespaces of an
ordinary user, what is started there runs as that user.
"""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass

from ..linux import CLONE_NEWNET, setns, unshare
from ..namespaces import BuildError, enter_namespace, map_user, without_rights

LOOPBACK = "127.0.0.1"
LAPTOP, SERVER = "192.0.2.1", "192.0.2.2"  # TEST-NET-1, which toxcore takes for public addresses
PREFIX_BITS = 24
INTERFACE = "eth0"
LOOPBACK_INDEX = 1


@dataclass(frozen=True, slots=True)
class Machine:
    """`namespace` is a descriptor of its network namespace, and `home` of the one to return to."""

    name: str
    address: str
    namespace: int | None = None
    home: int | None = None

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """What is started or opened inside the `with`, without waiting in between, is on this machine."""
        if self.namespace is None or self.home is None:
            yield
            return
        setns(self.namespace, CLONE_NEWNET)
        try:
            yield
        finally:
            setns(self.home, CLONE_NEWNET)


@dataclass(frozen=True, slots=True)
class Machines:
    """`why_together`: why both are this machine itself; None when each has a network of its own."""

    laptop: Machine
    server: Machine
    why_together: str | None = None


def make_machines() -> Machines:
    """Moves this process into the laptop's namespace, where namespaces are to be had."""
    why_not = why_no_namespaces()
    if why_not is None:
        return separate()
    return Machines(Machine("laptop", LOOPBACK), Machine("server", LOOPBACK), why_not)


def why_no_namespaces() -> str | None:
    """Tries it in a child, as there is no way back; returns the reason for a failure."""
    receive, send = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            separate()
        except BaseException as failure:
            os.write(send, str(failure).encode())
            os._exit(1)
        os._exit(0)
    os.close(send)
    with os.fdopen(receive) as pipe:
        reason = pipe.read()
    _, status = os.waitpid(child, 0)
    return None if status == 0 else reason


def separate() -> Machines:
    """Makes both namespaces and the cable. Raises BuildError."""
    uid, gid = os.getuid(), os.getgid()
    in_user_namespace = enter_namespace()
    try:
        if in_user_namespace:
            map_user(uid, gid)
        home = own_namespace()
        unshare(CLONE_NEWNET)
        laptop = Machine("laptop", LAPTOP, home, home)
        server = Machine("server", SERVER, own_namespace(), home)
        join(laptop, server)
    except OSError as error:
        raise BuildError(without_rights(error) if in_user_namespace else str(error)) from None
    return Machines(laptop, server)


def own_namespace() -> int:
    return os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


def join(laptop: Machine, server: Machine) -> None:
    """Lays the cable, called in the server's namespace, and returns to the laptop's. Raises OSError."""
    from ..tun.host.pyroute import IPRoute, NetlinkError  # nobody waits for it who is refused before

    try:
        with IPRoute() as route:
            far_end = {"ifname": INTERFACE, "net_ns_fd": laptop.namespace}
            route.link("add", ifname=INTERFACE, kind="veth", peer=far_end)
        for machine in (server, laptop):
            assert machine.namespace is not None
            setns(machine.namespace, CLONE_NEWNET)
            with IPRoute() as route:
                index = route.link_lookup(ifname=INTERFACE)[0]
                route.addr("add", index=index, address=machine.address, prefixlen=PREFIX_BITS)
                for each in (LOOPBACK_INDEX, index):
                    route.link("set", index=each, state="up")
    except NetlinkError as error:
        raise OSError(error.code, f"a pair of network interfaces could not be made: {error}") from None
