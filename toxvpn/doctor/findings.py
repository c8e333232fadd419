"""The doctor's findings, one for each layer, and the report of them all.

A layer is `ok`, or `limited` (it works, but less well than it could), or `failed`; then the layers above it
are `skipped`, for each needs those below it. Neighbours: observations.py and peer_observations.py make
findings of what was seen, cli/doctor.py prints them.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from ..errors import PathError, ToxvpnError

SCHEMA = 1


class Layer(StrEnum):
    """The layers that the doctor checks, in this order: each needs those before it."""

    LIBRARY = "library"
    PRIVATE_STACK = "private-stack"
    NODES = "nodes"
    BOOTSTRAP = "bootstrap"
    UDP = "udp"
    OWN_STATUS = "own-status"
    PORT_MAPPING = "port-mapping"
    FRIEND_REQUEST = "friend-request"
    PATH = "path"
    PROTOCOL = "protocol"
    VPN = "vpn"
    ROAD = "road"
    TARGET = "target"


class State(StrEnum):
    OK = "ok"
    LIMITED = "limited"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """The state of one layer; `fix` is the remedy, `seconds` how long the look took."""

    layer: Layer
    state: State
    detail: str
    fix: str | None = None
    exit_code: int = 0
    seconds: float | None = None


def ok(layer: Layer, detail: str) -> Finding:
    return Finding(layer=layer, state=State.OK, detail=detail)


def limited(layer: Layer, detail: str, fix: str) -> Finding:
    return Finding(layer=layer, state=State.LIMITED, detail=detail, fix=fix, exit_code=PathError.exit_code)


def failed(layer: Layer, detail: str, fix: str | None, kind: type[ToxvpnError]) -> Finding:
    return Finding(layer=layer, state=State.FAILED, detail=detail, fix=fix, exit_code=kind.exit_code)


@dataclass(frozen=True, slots=True)
class Report:
    """One finding for each layer, in order."""

    findings: tuple[Finding, ...]

    @property
    def problem(self) -> Finding | None:
        """The first layer that failed; if none did, the first that is limited."""
        for state in (State.FAILED, State.LIMITED):
            for finding in self.findings:
                if finding.state is state:
                    return finding
        return None

    @property
    def exit_code(self) -> int:
        return 0 if self.problem is None else self.problem.exit_code


def make_report(findings: Iterable[Finding], not_asked: Mapping[Layer, str]) -> Report:
    """Adds a skipped finding for each layer that was not looked at; `not_asked` has the reasons."""
    seen = {finding.layer: finding for finding in findings}
    below_failed = any(finding.state is State.FAILED for finding in seen.values())
    return Report(tuple(seen.get(layer) or _skipped(layer, not_asked, below_failed) for layer in Layer))


def _skipped(layer: Layer, not_asked: Mapping[Layer, str], below_failed: bool) -> Finding:
    reason = not_asked.get(layer) or ("a layer below it fails" if below_failed else "not looked at")
    return Finding(layer=layer, state=State.SKIPPED, detail=reason)


def document(report: Report) -> dict[str, Any]:
    """The document that `--json` prints. Keys may be added, and none will be removed."""
    problem = report.problem
    return {
        "schema": SCHEMA,
        "ok": problem is None,
        "problem": None if problem is None else problem.layer.value,
        "exit_code": report.exit_code,
        "layers": [
            {
                "layer": each.layer.value,
                "status": each.state.value,
                "detail": each.detail,
                "fix": each.fix,
                "seconds": None if each.seconds is None else round(each.seconds, 3),
            }
            for each in report.findings
        ],
    }
