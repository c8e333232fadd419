"""`toxvpn policy`: tells whether a peer may reach something here over the VPN, and by which rule."""

import click

from .ask import ask
from .shared import SHARED, Settings, takes

REFUSED = 4
"""The exit code: that of PeerRefusedError."""


@click.command("policy")
@click.argument("peer")
@click.argument("target")
@takes(SHARED)
@click.pass_obj
def command(settings: Settings, peer: str, target: str) -> int:
    """Tell whether PEER may reach TARGET on this machine, or behind it, over the VPN.

    TARGET is tcp/22, udp/10.0.0.5:53, tcp/[fd00::5]:443, icmp, icmp/10.0.0.5. Exit code 0: it may; 4: it may
    not. What this machine begins towards PEER is not limited here, and is answered.
    """
    settings.begin()
    answer = ask(settings, "policy", peer=peer, target=target)
    may = "may" if answer["allowed"] else "may not"
    click.echo(f"{answer['peer']} {may} reach {target}: {answer['why']}")
    return 0 if answer["allowed"] else REFUSED
