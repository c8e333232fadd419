"""The keys of [vpn]."""

import socket
from ipaddress import IPv4Interface

from ..names.label import LabelRefusal, label_of
from ..wire.ip import MAX_MTU, MIN_MTU
from ..wire.routes import IPNetwork
from . import values
from .keys import NONE, Flag, Section, Words, key, keys_of, section


@section
class VpnSection:
    """`name` None: the host's; "": no names at all. `address` None: the one that follows from our key.

    A bare address has a prefix of 32 bits.
    """

    name: str | None = key(
        values.read_own_name,
        'this machine\'s name on the network; "": no names there',
        form='a name, or "" for no names',
        default=None,
        shown=Words("the host's name"),
        example='"office"',
        flag=Flag("--name", metavar="NAME", heading="VPN"),
    )
    hosts: bool = key(
        values.read_bool,
        "keep the names in /etc/hosts, for machines without systemd-resolved",
        form=values.BOOL_FORM,
        default=False,
        example="true",
        flag=Flag("--hosts", heading="VPN", value=True, help="Keep the names of the network in /etc/hosts."),
    )
    address: IPv4Interface | None = key(
        values.read_address,
        "our IPv4 address; with BITS, peers may choose theirs in that network",
        form="an IPv4 address such as 10.9.8.7/24",
        default=None,
        shown=Words("follows from the key"),
        example='"10.9.8.7/24"',
        restart=True,
        flag=Flag("--address", metavar="IPV4[/BITS]", heading="VPN"),
    )
    mtu: int = key(
        values.read_number(MIN_MTU, MAX_MTU),
        f"the device's MTU, {MIN_MTU} to {MAX_MTU} bytes",
        form=f"{MIN_MTU} to {MAX_MTU}",
        default=MAX_MTU,
        example=f"{MAX_MTU}",
        restart=True,
        flag=Flag("--mtu", metavar="BYTES", heading="VPN", from_text=values.number),
    )
    interface: str = key(
        values.read_interface,
        "the device's name",
        form=f"1 to {values.INTERFACE_BYTES} bytes without spaces, '/', ':' or '%'",
        default="toxvpn0",
        example='"toxvpn0"',
        restart=True,
        flag=Flag("--interface", metavar="NAME", heading="VPN"),
    )
    multicast: tuple[str, ...] = key(
        values.read_groups,
        "multicast groups, and broadcast, that reach the peers that have them here too",
        form='a list of "mdns", "ssdp", "broadcast", and addresses such as "239.1.2.3"',
        default=(),
        shown=[],
        example='["mdns", "ssdp", "broadcast", "239.1.2.3"]',
        flag=Flag(
            "--multicast",
            metavar="GROUP[,GROUP]…",
            heading="VPN",
            from_text=lambda text: text.split(","),
            help="Let packets to these groups reach the peers that have them too: mdns, ssdp, broadcast, "
            "or addresses of multicast groups.",
        ),
    )
    offload: bool = key(
        values.read_bool,
        "packets in batches; false: one by one, for kernels that mishandle those",
        form=values.BOOL_FORM,
        default=True,
        example="true",
        restart=True,
        flag=Flag(
            "--no-offload",
            heading="VPN",
            value=False,
            help="Exchange every packet with the kernel by itself: slower, "
            "for kernels that mishandle batches.",
        ),
    )
    advertise: tuple[IPNetwork, ...] = key(
        values.read_advertised,
        "networks behind this machine, for peers that use them and may reach them",
        form=values.NETWORKS_FORM,
        default=(),
        shown=NONE,
        example='["192.168.10.0/24", "fd00:10::/64"]',
        restart=True,
        flag=Flag("--advertise", metavar="NETWORK,…", heading="VPN", from_text=values.words),
    )
    snat: bool = key(
        values.read_bool,
        "what peers send to those networks leaves with this machine's address, so that answers come back",
        form=values.BOOL_FORM,
        default=True,
        example="true",
        restart=True,
        flag=Flag(
            "--snat",
            metavar="yes|no",
            heading="VPN",
            from_text=values.yes_or_no,
            help="With no, what peers send to advertised networks keeps its address there [default: yes].",
        ),
    )
    exit: str | None = key(
        values.read_text,
        "send this machine's traffic through this peer; nothing leaves by another way",
        form="a peer's name, its Tox ID or its public key",
        default=None,
        shown=NONE,
        example='"box"',
        restart=True,
        flag=Flag("--exit", metavar="PEER", heading="VPN"),
    )
    exit_lan: bool = key(
        values.read_bool,
        "with an exit, the local network (private addresses) stays reachable",
        form=values.BOOL_FORM,
        default=True,
        example="true",
        restart=True,
        flag=Flag(
            "--exit-lan",
            metavar="yes|no",
            heading="VPN",
            from_text=values.yes_or_no,
            help="With no, the local network cannot be reached beside the exit [default: yes].",
        ),
    )

    @property
    def has_names(self) -> bool:
        return self.name != ""

    @property
    def stated_name(self) -> str:
        """What we call ourselves to the peers; empty where the host's name is no name for a machine."""
        if self.name is not None:
            return self.name
        first = socket.gethostname().partition(".")[0]
        return "" if isinstance(label_of(first), LabelRefusal) else first


VPN = Section("vpn", "[vpn]", "be on a network with the peers", keys_of(VpnSection))
