"""The keys of [node]."""

from pathlib import Path
from typing import TYPE_CHECKING

from ..tcpforward.fast import patience
from . import values
from .keys import NONE, Flag, Section, Words, key, keys_of, section

if TYPE_CHECKING:
    from ..tox.proxy import Proxy


@section
class NodeSection:
    """`udp_ports` are the first and the last; a `tcp_port` of 0 means not to be a relay.

    `udp_segmentation` (several datagrams a system call) None: where the kernel does it right.
    `keep_streams` is in seconds.
    """

    nodes_file: Path | None = key(
        values.read_file,
        "bootstrap nodes, as nodes.tox.chat/json has them",
        form=values.FILE_FORM,
        default=None,
        shown=Words("built-in"),
        example='"nodes.json"',
        restart=True,
        flag=Flag("-b", metavar="FILE"),
    )
    udp_ports: tuple[int, int] | None = key(
        values.read_udp_ports,
        "UDP ports to try, the first and the last",
        form="FIRST:LAST, two port numbers from 1 to 65535",
        default=None,
        shown=Words("100 random ones"),
        example='"33445:33545"',
        restart=True,
        flag=Flag("-u", metavar="FIRST:LAST"),
    )
    tcp_port: int | None = key(
        values.read_port_or_0,
        "be a TCP relay for others on this port; 0: do not",
        form="a port number, or 0 for no relay",
        default=None,
        shown=0,
        example="0",
        restart=True,
        flag=Flag("-t", metavar="PORT", from_text=values.number),
    )
    proxy: "Proxy | None" = key(
        values.read_proxy,
        "reach Tox only through this proxy; excludes udp_ports and tcp_port",
        form="socks5://HOST:PORT or http://HOST:PORT",
        default=None,
        shown=NONE,
        example='"socks5://127.0.0.1:9050"',
        restart=True,
        flag=Flag(
            "--proxy",
            metavar="URL",
            help="Reach Tox only through this: socks5://HOST:PORT or http://HOST:PORT. [default: ALL_PROXY]",
        ),
    )
    udp_segmentation: bool | None = key(
        values.read_switch,
        "several datagrams a system call; auto: where Linux does it right",
        form='"auto", "on" or "off"',
        default=None,
        shown="auto",
        example='"auto"',
        restart=True,
    )
    lan_discovery: bool = key(
        values.read_bool,
        "announce this machine to the local network, to find peers in it",
        form=values.BOOL_FORM,
        default=True,
        example="true",
        restart=True,
    )
    port_mapping: bool = key(
        values.read_bool,
        "have the router pass on Tox's UDP port, by PCP, NAT-PMP or UPnP",
        form=values.BOOL_FORM,
        default=True,
        example="true",
        restart=True,
        flag=Flag("--no-port-mapping", value=False, help="Do not ask the router to pass on Tox's UDP port."),
    )
    keep_streams: int = key(
        values.read_time(patience.LEAST_S, patience.MOST_S),
        "how long streams of forwards wait for a peer that does not answer; idle ones six times as long",
        form='a time such as "30m", "2h" or "1d", from 2m to 7d',
        default=patience.DEFAULT_S,
        shown="2h",
        example='"2h"',
        restart=True,
        flag=Flag("--keep-streams", metavar="TIME"),
    )
    relay_for: tuple[str, ...] = key(
        values.read_names,
        "peers that reach each other by way of this machine, where they have no direct path",
        form="a list of two and more peers' names",
        default=(),
        shown=[],
        example='["laptop", "box"]',
    )


NODE = Section("node", "[node]", "how to be on the Tox network", keys_of(NodeSection))
