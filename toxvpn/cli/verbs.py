"""The verbs of `toxvpn`: one module each, with a click command named `command`, loaded when asked for."""

from importlib import import_module

import click

VERBS = {
    "id": "Print this machine's Tox ID.",
}


def load(verb: str) -> click.Command:
    command: click.Command = import_module(f".{verb}", __package__).command
    return command
