"""The import rule of design.md: each part imports only what stands below it."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "toxvpn"

# from the bottom up: a part may import what stands in a line above its own
ORDER: list[set[str]] = [
    {"errors", "linux", "descriptors", "interpreter"},
    {"namespaces"},
    {"_native"},
    {"wire"},
    {"state", "portmap"},
    {"tox"},
    {"members"},
    {"names"},
    {"tun", "tcpforward"},
    {"usernet"},
    {"config"},
    {"control", "process"},
    {"report", "doctor", "trial", "files"},
    {"share"},
    {"daemon"},
    {"api", "cli", "testing"},
]
# a private stack is a TUN device in another namespace
EXCEPTIONS = {
    ("tcpforward/fast/stack.py", "tun.host.device"),
    ("tcpforward/fast/helper.py", "tun.host.device"),
}
ALLOWED = {part: set().union(*ORDER[:level]) for level, parts in enumerate(ORDER) for part in parts}


def modules() -> list[Path]:
    return sorted(path for path in ROOT.rglob("*.py*") if path.suffix in {".py", ".pyi"})


def imported(path: Path) -> set[str]:
    """Dotted names below `toxvpn` that the file imports, e.g. `wire.tuntox`."""
    names: set[str] = set()
    package = ("toxvpn", *path.relative_to(ROOT).parent.parts)
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            prefix = ".".join((*base, *filter(None, [node.module])))
            names.update(f"{prefix}.{alias.name}" for alias in node.names)
    return {name.removeprefix("toxvpn.") for name in names if name.startswith("toxvpn.")}


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_follow_the_direction(path: Path) -> None:
    relative = path.relative_to(ROOT)
    part = relative.parts[0].removesuffix(".py")
    if part in {"__init__", "__main__"}:
        return
    assert part in ALLOWED, f"{part} has no place in the import rule yet"
    for name in imported(path):
        target = name.split(".")[0]
        if target == part or target not in ALLOWED:
            continue
        if any(str(relative) == path and name.startswith(module) for path, module in EXCEPTIONS):
            continue
        assert target in ALLOWED[part], f"{relative} must not import toxvpn.{name}"


def test_the_rule_sees_a_violation() -> None:
    node_file = ROOT / "tox" / "node.py"
    assert any(name.startswith("_native") for name in imported(node_file))
    assert "tun" not in ALLOWED["tcpforward"]
