"""`toxvpn status`: the state of the running toxvpn and its peers, for people or (--json) for scripts."""

import json
from typing import Any

import click

from ..errors import ToxvpnError
from ..wire.ip import MAX_MTU
from .ask import ask, print_note
from .shared import SHARED, Settings, takes
from .table import path_word, print_table, round_trip, size

SCHEMA = 1
CONNECTIONS = {"udp": "over UDP", "tcp-relay": "over a TCP relay", "none": "not yet"}
MODES = {"up": "VPN", "server": "server", "client": "client"}


@click.command("status")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON document with a stable schema.")
@takes(SHARED)
@click.pass_obj
def command(settings: Settings, as_json: bool) -> None:
    """Show the running toxvpn: its addresses, its peers, and how each is reached.

    Exits with 3 when toxvpn is not running.
    """
    settings.begin()
    try:
        document = ask(settings, "status")
    except ToxvpnError as error:
        if as_json:
            failed = {"schema": SCHEMA, "error": {"text": str(error), "exit_code": error.exit_code}}
            click.echo(json.dumps(failed, indent=1))
        raise
    if as_json:
        click.echo(json.dumps(document, indent=1))
    else:
        print_status(settings, document)


def print_status(settings: Settings, document: dict[str, Any]) -> None:
    own = document["self"]
    addresses = " ".join(filter(None, (own["ipv4"], own["ipv6"])))
    device = f" on {own['interface']}" if own["interface"] else ""
    if own["interface_up"] is False:
        device += " (the interface was set down: no traffic passes)"
    click.echo(f"toxvpn {MODES[own['mode']]}{device}{': ' if addresses else ''}{addresses}")
    click.echo(f"Tox ID {document['tox_id']}, connected: {CONNECTIONS[own['connection']]}")
    if refused := " and ".join(own["refused_offload"]):
        click.echo(f"this kernel refuses super-packets of {refused}: traffic is slower")
    if own["drops"]:
        click.echo(f"dropped: {drops(own['drops'])}")
    print_shield(own["shield"])
    if document["peers"]:
        click.echo()
        print_table(
            ("PEER", "ADDRESS", "PATH", "RTT", "RECEIVED", "SENT", "DROPPED"),
            [peer_row(peer) for peer in document["peers"]],
        )
        for peer in document["peers"]:
            if peer["address_problem"]:
                click.echo(f"{peer_row(peer)[0]}: {peer['address_problem']}")
    if document["forwards"]:
        click.echo()
        rows = [
            [each["listen"], each["target"], str(each["streams"]), f"{each['road']}: {each['road_reason']}"]
            for each in document["forwards"]
        ]
        print_table(("LISTEN", "TARGET", "STREAMS", "ROAD"), rows)
    print_pending(settings, document["pending"])


def print_shield(shield: dict[str, Any] | None) -> None:
    """Print nothing when all is well: most machines with the flaw are never attacked."""
    if shield is not None and not shield["in_force"]:
        click.echo(f"any stranger can crash this libtoxcore ({shield['flaw']}): see toxvpn doctor")
    elif shield is not None and shield["dropped"]:
        click.echo(f"dropped {shield['dropped']} datagrams that would crash libtoxcore ({shield['flaw']})")


def peer_row(peer: dict[str, Any]) -> list[str]:
    path = path_word(peer["path"])
    if peer["mtu"] is not None and peer["mtu"] < MAX_MTU:
        path += f", MTU {peer['mtu']}"
    return [
        peer["name"] or peer["public_key"][:16],
        " ".join(filter(None, (peer["ipv4"], peer["ipv6"]))),
        f"{path}, asked" if peer["friend_request"] and not peer["online"] else path,
        "" if peer["rtt_seconds"] is None else round_trip(peer["rtt_seconds"]),
        size(peer["rx_bytes"]),
        size(peer["tx_bytes"]),
        drops(peer["drops"]),
    ]


def drops(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {reason}" for reason, count in counts.items() if count)


def print_pending(settings: Settings, pending: list[dict[str, Any]]) -> None:
    """Print who asked to join and was not let in."""
    if not pending:
        return
    click.echo()
    print_table(
        ("ASKED TO JOIN", "LAST", "TIMES", "REFUSED BECAUSE"),
        [[each["public_key"][:16], each["last"], str(each["times"]), each["reason"]] for each in pending],
    )
    print_note(settings, f"`toxvpn peer accept {pending[0]['public_key'][:16]}` lets the first one in")
