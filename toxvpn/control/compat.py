"""A toxvpn that runs may be older than the command that asks it: after an update, until it is started anew.

In: its status. Out: the same, in which nothing is missing that this version reads.
"""

from typing import Any

Document = dict[str, Any]

WHOLE: Document = {"blocked": []}
OF_SELF: Document = {"interface_up": None, "refused_offload": [], "shield": None}
OF_PEER: Document = {"address_problem": None, "mtu": None}


def with_defaults(status: Document) -> Document:
    """With what version 0.1 does not tell, as if there were nothing to tell."""
    own, peers = status["self"], status["peers"]
    told = status | {"self": _filled(own, OF_SELF), "peers": [_filled(each, OF_PEER) for each in peers]}
    return _filled(told, WHOLE)


def _filled(found: Document, usual: Document) -> Document:
    return found | {key: value for key, value in usual.items() if key not in found}
