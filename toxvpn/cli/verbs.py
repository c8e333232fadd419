"""The verbs of `toxvpn`: each is a module with a click command named `command`, loaded on demand."""

from importlib import import_module
from keyword import iskeyword

import click

VERBS = {
    "try": "See it work on this machine alone, in seconds.",
    "up": "Be on a network with the configured peers, until stopped.",
    "exec": "Run a command in the network of the peers, without root.",
    "run": "Do everything that the configuration says: serve, forward, VPN.",
    "reload": "Apply what changed in the configuration.",
    "config": "Check or show the configuration.",
    "down": "Stop the running toxvpn.",
    "status": "Show the state of the running toxvpn, and how each peer is reached.",
    "ping": "Measure the round trip to a peer, and show the path.",
    "speed": "Measure how fast a peer is reached, both ways, and how long answers take meanwhile.",
    "wait": "Wait until peers are online.",
    "send": "Send files and folders to a peer.",
    "receive": "Receive files into a folder, from peers or from the user of a one-use text.",
    "ssh": "Log in to a peer with ssh.",
    "peer": "Add, name, remove, list, accept and block peers.",
    "policy": "Tell whether a peer may reach something here over the VPN.",
    "secret": "Renew the secret that lets others in.",
    "invite": "Print an invite that lets one machine join.",
    "join": "Join the machine that printed an invite.",
    "service": "Install toxvpn as a systemd service, or remove it.",
    "id": "Print this machine's Tox ID.",
    "metrics": "Print metrics for Prometheus.",
    "doctor": "Name the first layer that fails, and what to do about it.",
    "bugreport": "Print what a bug report needs, without secrets.",
    "completion": "Print the completion script of a shell.",
}


def load(verb: str) -> click.Command:
    module = f".{verb}_" if iskeyword(verb) else f".{verb}"
    command: click.Command = import_module(module, __package__).command
    return command
