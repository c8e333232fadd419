"""The keys of [vpn]."""

from ipaddress import IPv4Interface

from ..wire.ip import MAX_MTU, MIN_MTU
from . import values
from .keys import NONE, Flag, Section, Words, key, keys_of, section


@section
class VpnSection:
    """`address` None: the one that follows from our key; a bare address has a prefix of 32 bits."""

    name: str | None = key(
        values.read_name,
        "what we call ourselves to the peers",
        form="a name",
        default=None,
        shown=NONE,
        example='"office"',
        flag=Flag("--name", metavar="NAME", heading="VPN"),
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


VPN = Section("vpn", "[vpn]", "be on a network with the peers", keys_of(VpnSection))
