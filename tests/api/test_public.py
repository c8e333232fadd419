"""What is promised of `import toxvpn`: the names and their signatures; and that it costs next to nothing."""

import inspect
import subprocess
import sys
from typing import Any

import pytest

import toxvpn

SIGNATURES = {
    "node": "(directory=None, *, secret=None, allow=(), nodes_file=None, proxy=None, road='auto')",
    "Node.peer": "(self, whom, *, secret=None)",
    "Node.invite": "(self, lifetime_s=86400.0)",
    "Node.events": "(self)",
    "Node.open_connection": "(self, peer, host, port, *, limit=65536)",
    "Node.start_server": "(self, handler, port, *, limit=65536)",
    "Node.listen": "(self, peer, host, port, *, local_host='127.0.0.1', local_port=0)",
    "Peer.path": "property",
    "Peer.online": "property",
    "Peer.connected": "(self)",
    "Server.close": "(self)",
    "Server.wait_closed": "(self)",
    "Forward.aclose": "(self)",
    "NetworkEvent": "(path)",
    "NetworkEvent.online": "property",
    "PeerEvent": "(peer, path)",
    "PeerEvent.online": "property",
}
"""To change one is to break programs: only with a new major version."""
CLASSES = ("Node", "Peer", "Server", "Forward", "NetworkEvent", "PeerEvent")
ERRORS = {
    "ClosedError": "ToxvpnError",
    "ConfigError": "ToxvpnError",
    "NoPermissionError": "ToxvpnError",
    "PeerOfflineError": "ToxvpnError",
    "StreamOpenError": "ToxvpnError",
    "ToxvpnError": "Exception",
    "UsageError": "ToxvpnError",
}


def signature(of: Any) -> str:
    if isinstance(of, property):
        return "property"
    found = inspect.signature(of)
    bare = [each.replace(annotation=inspect.Parameter.empty) for each in found.parameters.values()]
    return str(inspect.Signature(bare))


def public(cls: type) -> set[str]:
    return {f"{cls.__name__}.{name}" for name in vars(cls) if not name.startswith("_")}


def test_the_names() -> None:
    assert set(toxvpn.__all__) == {"node", "Event", *CLASSES, *ERRORS}
    assert set(toxvpn.__all__) < set(dir(toxvpn))
    with pytest.raises(AttributeError, match="no attribute 'nod'"):
        _ = toxvpn.nod  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", SIGNATURES)
def test_a_signature(name: str) -> None:
    of: Any = toxvpn
    for part in name.split("."):
        of = getattr(of, part)
    assert signature(of) == SIGNATURES[name]
    assert inspect.getdoc(of)


def test_no_method_is_without_a_promise() -> None:
    fields = {"Peer.key", "NetworkEvent.path", "PeerEvent.path", "PeerEvent.peer"}
    for name in CLASSES:
        assert public(getattr(toxvpn, name)) <= SIGNATURES.keys() | fields


def test_the_errors() -> None:
    for name, base in ERRORS.items():
        assert getattr(toxvpn, name).__base__.__name__ == base


def loaded_by(statements: str) -> set[str]:
    code = f"import sys; before = set(sys.modules); {statements}; print(*set(sys.modules) - before)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(ran.stdout.split())


def test_to_import_it_loads_nothing() -> None:
    assert loaded_by("import toxvpn") == {"toxvpn"}


def test_a_node_loads_little() -> None:
    """What commands and a VPN need takes longer to load than all the rest."""
    loaded = loaded_by("import toxvpn; toxvpn.node")
    assert "toxvpn.api.node" in loaded
    assert not loaded & {"click", "rich", "pyroute2", "dns", "segno", "prometheus_client", "jeepney"}
