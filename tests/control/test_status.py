"""The status document: scripts rely on it, so it is compared with a kept copy, key by key."""

import json
import re
from pathlib import Path
from typing import Any

from toxvpn.control.status import document
from toxvpn.testing.fake_status import busy, idle

GOLDEN = Path(__file__).parent / "golden_status.json"

CONTRACT: dict[str, Any] = {
    "schema": 1,
    "tox_id": str,
    "self": {
        "connection": {"udp", "tcp-relay", "none"},
        "ipv4": str,
        "ipv6": str,
        "interface": str,
        "version": str,
        "routes": [str],
        "exit": {"peer": str, "blocked": bool, "problem": str},
        "moved": [str],
        "multicast": [str],
        "port_mapping": {"router": str, "protocol": str, "endpoint": str, "problem": None, "drops": {}},
    },
    "peers": [
        {
            "public_key": str,
            "name": str,
            "online": bool,
            "path": {"udp", "tcp-relay", "none"},
            "ipv4": str,
            "ipv6": str,
            "rx_bytes": int,
            "tx_bytes": int,
            "drops": {},
            "loss": float,
            "version": str,
            "routes": [{"network": str, "used": bool, "problem": str}],
            "exit": {None, "offered", "used"},
            "may_exit": bool,
            "allow": [str],
            "address_moved": str,
            "multicast": [str],
        }
    ],
    "forwards": [
        {
            "listen": str,
            "target": str,
            "road": {"fast", "tuntox"},
            "streams": int,
            "drops": {},
            "remote": {None, "here", "there"},
            "problem": str,
        }
    ],
}


def test_the_document_is_this_one() -> None:
    written = json.dumps(document(busy()), indent=1) + "\n"
    assert written == GOLDEN.read_text()


def holds(found: Any, promised: Any) -> bool:
    if found is None and isinstance(promised, dict | list):
        return True
    if isinstance(promised, dict):
        return all(key in found and holds(found[key], value) for key, value in promised.items())
    if isinstance(promised, list):
        return all(holds(each, promised[0]) for each in found)
    if isinstance(promised, set):
        return found in promised
    if isinstance(promised, type):
        return found is None or type(found) is promised
    return bool(found == promised)


def test_the_kept_copy_keeps_the_promise() -> None:
    """Whoever changes the copy must not break what docs/design.md promises."""
    assert holds(json.loads(GOLDEN.read_text()), CONTRACT)


def test_nothing_is_missing_when_nobody_is_there() -> None:
    empty = document(idle())
    assert set(empty) == set(json.loads(GOLDEN.read_text()))
    assert holds(empty, CONTRACT)
    assert (empty["peers"], empty["forwards"], empty["pending"]) == ([], [], [])
    assert (empty["self"]["ipv4"], empty["self"]["shield"]) == (None, None)


def keys_in(found: Any) -> set[str]:
    if isinstance(found, list):
        return {key for each in found for key in keys_in(each)}
    if not isinstance(found, dict):
        return set()
    return set(found).union(*(keys_in(value) for key, value in found.items() if key != "drops"))


def test_each_key_is_documented() -> None:
    page = (Path(__file__).parents[2] / "docs/status.md").read_text()
    documented = set(re.findall(r"`(\w+)`", page))
    assert keys_in(json.loads(GOLDEN.read_text())) - {"flaw", "in_force", "dropped"} <= documented
