"""Completes the status of an older toxvpn, which keeps running after an update until it is restarted.

In: its status document. Out: the same with every key that this version reads.
"""

from typing import Any

Document = dict[str, Any]

TOP_LEVEL: Document = {"blocked": []}
SELF: Document = {
    "dns_name": None,
    "name_problem": None,
    "interface_up": None,
    "refused_offload": [],
    "shield": None,
    "version": None,
    "routes": [],
    "exit": None,
    "namespace_owner": None,
    "moved": [],
    "multicast": [],
    "port_mapping": None,
}
PEER: Document = {
    "dns_name": None,
    "name_problem": None,
    "address_problem": None,
    "mtu": None,
    "loss": None,
    "version": None,
    "routes": [],
    "exit": None,
    "may_exit": False,
    "allow": None,
    "address_moved": None,
    "multicast": [],
}
FORWARD: Document = {"remote": None, "problem": None}


def with_defaults(status: Document) -> Document:
    """The status with the keys that version 0.1 lacks, at their defaults."""
    own, peers = status["self"], status["peers"]
    forwards = [_filled(each, FORWARD) for each in status["forwards"]]
    filled = status | {
        "self": _filled(own, SELF),
        "peers": [_filled(each, PEER) for each in peers],
        "forwards": forwards,
    }
    return _filled(filled, TOP_LEVEL)


def _filled(document: Document, defaults: Document) -> Document:
    return document | {key: value for key, value in defaults.items() if key not in document}
