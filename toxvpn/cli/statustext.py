"""The status of the running toxvpn as text for people.

In: the status document (control/status.py). Out: lines. Neighbours: status.py prints them once, watch.py
again and again.
"""

import os
import shlex
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from ..names.zone import bare_label
from ..wire.ip import MAX_MTU
from .table import path_word, round_trip, size, table, time_span

CONNECTIONS = {"udp": "over UDP", "tcp-relay": "over a TCP relay", "none": "not yet"}
MODES = {"up": "VPN", "server": "server", "client": "client"}
PEER_COLUMNS = ("PEER", "ADDRESS", "PATH", "FOR", "RTT", "LOSS", "RECEIVED", "SENT", "VERSION", "DROPPED")
RELAYED = "tcp-relay"
KEY_DIGITS = 16
MOST_COMMANDS = 5
"""For so many of those who wait the command is told: a crowd is no friend of this machine."""


def status_text(document: Mapping[str, Any], directory: Path | None, now: float, *, coloured: bool) -> str:
    """`directory` is that of -C; `now` in seconds since the epoch."""
    parts = ["\n".join(own_lines(document))]
    if peers := document["peers"]:
        rows = [peer_row(peer, now) for peer in peers]
        lines = [f"{short(peer)}: {line}" for peer in peers for line in peer_lines(peer, document["tox_id"])]
        parts.append("\n".join([table(PEER_COLUMNS, rows, coloured=coloured), *lines]))
    if forwards := document["forwards"]:
        rows = [
            [
                each["listen"],
                each["target"],
                str(each["streams"]),
                forward_state(each),
            ]
            for each in forwards
        ]
        parts.append(table(("LISTEN", "TARGET", "STREAMS", "ROAD"), rows, coloured=coloured))
    if document["pending"]:
        parts.append(pending_table(document["pending"], directory, coloured=coloured))
    return "\n\n".join(parts)


def forward_state(forward: Mapping[str, Any]) -> str:
    lost = drops(forward["drops"])
    state: str = forward["problem"] or f"{forward['road']}: {forward['road_reason']}"
    return f"{state}; lost datagrams: {lost}" if lost else state


# -- this machine ---------------------------------------------------------------------------------


def own_lines(document: Mapping[str, Any]) -> Iterator[str]:
    own = document["self"]
    addresses = " ".join(filter(None, (own["ipv4"], own["ipv6"])))
    device = f" on {own['interface']}" if own["interface"] else ""
    if own["namespace_owner"] is not None:
        device += " (for commands of `toxvpn exec` alone)"
    if own["interface_up"] is False:
        device += " (the interface was set down: no traffic passes)"
    yield f"toxvpn {MODES[own['mode']]}{device}{': ' if addresses else ''}{addresses}"
    if own["dns_name"] or own["name_problem"]:
        yield own["name_problem"] or f"this machine is {own['dns_name']}"
    yield f"Tox ID {document['tox_id']}, connected: {CONNECTIONS[own['connection']]}"
    if own["exit"]:
        yield f"exit: {exit_line(own['exit'], document['peers'])}"
    if own["routes"]:
        yield f"offered to the peers: {', '.join(own['routes'])}"
    if own["multicast"]:
        yield f"multicast: {', '.join(own['multicast'])}"
    if mapping := own["port_mapping"]:
        yield from mapping_lines(mapping, document["peers"])
    yield from own["moved"]
    if refused := " and ".join(own["refused_offload"]):
        yield f"this kernel refuses super-packets of {refused}: traffic is slower"
    if own["drops"]:
        yield f"dropped: {drops(own['drops'])}"
    yield from shield_lines(own["shield"])


def mapping_lines(mapping: Mapping[str, Any], peers: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Why there is no mapping matters to those alone who have peers without a direct path."""
    if mapping["endpoint"]:
        yield f"the router passes on UDP from {mapping['endpoint']} ({mapping['protocol']})"
    elif mapping["problem"] and any(peer["path"] == RELAYED for peer in peers):
        yield f"no port mapping: {mapping['problem']}"


def exit_line(own_exit: Mapping[str, Any], peers: Sequence[Mapping[str, Any]]) -> str:
    name = next((short(peer) for peer in peers if peer["public_key"] == own_exit["peer"]), None)
    name = name or own_exit["peer"][:KEY_DIGITS]
    if own_exit.get("problem"):
        return f"{name}, but nothing leaves through it: {own_exit['problem']}"
    if own_exit["blocked"]:
        return f"{name}, which cannot be reached now: nothing else leaves this machine until it can"
    return f"{name}, by which all of this machine's traffic leaves"


def shield_lines(shield: Mapping[str, Any] | None) -> Iterator[str]:
    """Nothing when all is well: most machines with the flaw are never attacked."""
    if shield is not None and not shield["in_force"]:
        yield f"any stranger can crash this libtoxcore ({shield['flaw']}): see toxvpn doctor"
    elif shield is not None and shield["dropped"]:
        yield f"dropped {shield['dropped']} datagrams that would crash libtoxcore ({shield['flaw']})"


# -- peers ----------------------------------------------------------------------------------------


def short(peer: Mapping[str, Any]) -> str:
    return called(peer) or str(peer["public_key"][:KEY_DIGITS])


def called(peer: Mapping[str, Any]) -> str:
    """The name that it has here, or else on the network; empty for none."""
    return str(peer["name"] or (peer["dns_name"] and bare_label(peer["dns_name"])) or "")


def peer_row(peer: Mapping[str, Any], now: float) -> list[str]:
    path = path_word(peer["path"], peer.get("via"))
    if peer["mtu"] is not None and peer["mtu"] < MAX_MTU:
        path += f", MTU {peer['mtu']}"
    return [
        short(peer),
        " ".join(filter(None, (peer["ipv4"], peer["ipv6"]))),
        f"{path}, asked" if is_asked(peer) else path,
        "" if peer["since"] is None else time_span(now - datetime.fromisoformat(peer["since"]).timestamp()),
        "" if peer["rtt_seconds"] is None else round_trip(peer["rtt_seconds"]),
        "" if peer["loss"] is None else f"{peer['loss']:.0%}",
        size(peer["rx_bytes"]),
        size(peer["tx_bytes"]),
        peer["version"] or "",
        drops(peer["drops"]),
    ]


def peer_lines(peer: Mapping[str, Any], tox_id: str) -> Iterator[str]:
    """What is to be said of a peer beside its row."""
    if is_asked(peer):
        command = f"toxvpn peer accept {tox_id[:KEY_DIGITS]}"
        yield f"has not answered our request; if it does not know this machine: `{command}` there"
    for problem in (peer["address_problem"], peer["address_moved"], peer["name_problem"]):
        if problem:
            yield problem
    if used := [route["network"] for route in peer["routes"] if route["used"]]:
        yield f"routes through it: {', '.join(used)}"
    if offered := [each["network"] for each in peer["routes"] if not each["used"] and not each["problem"]]:
        yield f"routes that it offers, not used here: {', '.join(offered)}"
    for route in peer["routes"]:
        if route["problem"]:
            yield f"the route to {route['network']} is not used: {route['problem']}"
    if peer["exit"] == "offered":
        yield "offers to be an exit"
    if peer["may_exit"]:
        yield "may use this machine as its exit"
    if peer["allow"] is not None:
        yield f"may reach {', '.join(peer['allow']) or 'nothing'} here"
    if peer["multicast"]:
        yield f"multicast: {', '.join(peer['multicast'])}"


def is_asked(peer: Mapping[str, Any]) -> bool:
    return bool(peer["friend_request"]) and not peer["online"]


def drops(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {reason}" for reason, count in counts.items() if count)


# -- who asked and was not let in -----------------------------------------------------------------


def pending_table(pending: Sequence[Mapping[str, Any]], directory: Path | None, *, coloured: bool) -> str:
    """The commands stand below the table, where no narrow terminal breaks them."""
    rows = [
        [each["public_key"][:KEY_DIGITS], each["last"], str(each["times"]), each["reason"]]
        for each in pending
    ]
    columns = ("ASKED TO JOIN", "LAST", "TIMES", "REFUSED BECAUSE")
    commands = [accept_command(each["public_key"], directory) for each in pending[:MOST_COMMANDS]]
    return "\n".join([table(columns, rows, coloured=coloured), "to let one in:", *commands])


def accept_command(public_key: str, directory: Path | None) -> str:
    """The whole command line, for the same user and directory as this one."""
    sudo = "sudo " if "SUDO_USER" in os.environ and os.geteuid() == 0 else ""
    where = "" if directory is None else f"-C {shlex.quote(str(directory))} "
    return f"{sudo}toxvpn {where}peer accept {public_key[:KEY_DIGITS]}"
