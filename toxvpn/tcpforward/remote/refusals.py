"""What the server's refusal to listen means, and what to do about it, in a line for a person."""

from dataclasses import replace

from ...wire.ports import FIRST_FREE_PORT
from ...wire.remotelisten import ListenRefusal
from ..spec import Transport
from .spec import RemoteListen


def explain(code: str, peer: str, listen: RemoteListen) -> str:
    """`peer` is what a person calls it; `code` is a ListenRefusal, or what a later version says."""
    if listen.path is not None and code in (ListenRefusal.IN_USE, ListenRefusal.NO_PRIVILEGE):
        return f"{peer} cannot listen on {listen}: its log says why"
    match code:
        case ListenRefusal.NOT_ALLOWED:
            return f"{peer} may not listen on {listen} for this machine: {_remedy(listen)}"
        case ListenRefusal.IN_USE:
            return f"{peer} cannot listen on {listen}: the port is in use there; choose another one"
        case ListenRefusal.NO_ADDRESS:
            return f"{peer} cannot listen on {listen}: give an address of that machine"
        case ListenRefusal.NO_PRIVILEGE:
            return (
                f"{peer} cannot listen on {listen}: ports below {FIRST_FREE_PORT} need root there, and "
                "a rule that names the port when it starts; choose a higher one"
            )
        case ListenRefusal.TOO_MANY:
            return f"{peer} cannot listen on {listen}: it has as many listeners for this machine as it may"
        case ListenRefusal.NO_FAST_ROAD:
            return f"{peer} cannot listen on {listen}: UDP needs the fast road: its log says more"
    return f"{peer} cannot listen on {listen}: it says {code!r}"


def _remedy(listen: RemoteListen) -> str:
    return f"allow_listen there, in [server] or in the section of this machine, needs {rule_for(listen)!r}"


def rule_for(listen: RemoteListen) -> str:
    """The narrowest rule of `allow_listen` that allows it."""
    if listen.path is not None:
        return f"unix:{listen.path}"
    address, port = listen.addresses[0], listen.port or "*"
    if listen.transport is Transport.UDP:
        return f"udp/{rule_for(replace(listen, transport=Transport.TCP))}"
    if address.is_unspecified:
        return f"*:{port}"
    if len(listen.addresses) > 1:  # both of loopback
        return str(port) if listen.port else f"localhost:{port}"
    return f"[{address}]:{port}" if address.version == 6 else f"{address}:{port}"
