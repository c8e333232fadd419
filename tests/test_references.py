"""Files and classes that docstrings, comments and documents mention exist."""

import ast
import functools
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

import toxvpn

ROOT = Path(__file__).parent.parent
FOLDERS = (
    "toxvpn",
    "lab",
    "bench",
    "fuzz",
    "scripts",
    "docs",
    "tests",
    ".ci",
    "contrib",
    "packaging",
    "demos",
)
SOURCE = {".py", ".pyx", ".pyi", ".pxd", ".c", ".h"}
FILES = {
    path.relative_to(ROOT)
    for folder in FOLDERS
    for path in (ROOT / folder).rglob("*")
    if path.suffix in SOURCE | {".md"} and "__pycache__" not in path.parts
} | {path.relative_to(ROOT) for path in ROOT.iterdir() if path.suffix in {".md", ".py"}}
# CHANGELOG.md keeps the names of its time
READ = sorted(path for path in FILES if path.name != "CHANGELOG.md")

FILE = re.compile(r"(?<![\w/.<-])[\w./-]*\w\.(?:pyx|pyi|py|c|h)\b(?![\w(.>])")
ENUMERATION = re.compile(r"\{(\w+(?:,\w+)+)\}\.py\b")
CLASS = re.compile(r"(?<![\w.:/=%-])(?:[A-Z][a-z0-9]+){2,}\b(?!=)|(?<=`)[A-Z][a-z][A-Za-z0-9]*(?=[`.(])")

OTHERS_FILES = {
    "tox.h", "tox/tox.h", "toxcore/state.c", "net_crypto.c", "other/bootstrap_node_packets.c",
    "onion_announce.h", "group_announce.h", "ssh.c", "net/scm.h", "net/unix/af_unix.c", "pyconfig.h",
}  # fmt: skip
OTHERS_CLASSES = {"CoDel", "NetBird", "EtherType", "WireGuard"}
"""Terms of the field that look like classes."""
OTHERS_OPTIONS = {"DynamicUser", "PrivateTmp", "ProtectHome", "WatchdogSec", "ControlPath", "ProxyCommand"}
"""Those of systemd.exec(5), systemd.service(5) and ssh_config(5)."""


def prose(path: Path) -> Iterator[tuple[int, str]]:
    """Docstrings and comments of Python, everything but includes of other text: line numbers and lines."""
    text = (ROOT / path).read_text()
    if path.suffix not in {".py", ".pyi"}:
        for number, line in enumerate(text.splitlines(), 1):
            if not line.startswith(("#include", "cdef extern")):
                yield number, line
        return
    for node in ast.walk(ast.parse(text)):
        if (
            isinstance(node, ast.Expr)
            and isinstance(node.value, ast.Constant)
            and isinstance(node.value.value, str)
        ):
            yield from enumerate(node.value.value.splitlines(), node.lineno)
    yield from names_and_comments(path)[1]


@functools.cache
def names_and_comments(path: Path) -> tuple[set[str], list[tuple[int, str]]]:
    """The names in a file of Python, and its comments with their line numbers."""
    names, comments = set(), []
    for token in tokenize.generate_tokens(io.StringIO((ROOT / path).read_text()).readline):
        if token.type == tokenize.NAME:
            names.add(token.string)
        elif token.type == tokenize.COMMENT:
            comments.append((token.start[0], token.string))
    return names, comments


@functools.cache
def names_of_code() -> set[str]:
    """Every name that the code defines, imports or uses."""
    names: set[str] = set()
    for path in FILES:
        if path.suffix in {".py", ".pyi"}:
            names |= names_and_comments(path)[0]
        elif path.suffix in {".pyx", ".pxd"}:
            names.update(
                re.findall(r"^(?:cdef |final )*class (\w+)", (ROOT / path).read_text(), re.MULTILINE)
            )
    return names


@functools.cache
def ends_of_paths() -> set[tuple[str, ...]]:
    """The ways in which a file may be named."""
    return {file.parts[start:] for file in FILES for start in range(len(file.parts))}


def exists(name: str) -> bool:
    return Path(name).parts in ends_of_paths()


def missing(line: str) -> list[str]:
    """Files and classes that the line names and that are nowhere."""
    files = [name for name in FILE.findall(line) if "NAME" not in name]
    files += [f"{stem}.py" for group in ENUMERATION.findall(line) for stem in group.split(",")]
    gone = [name for name in files if not (exists(name) or name in OTHERS_FILES or name.startswith("linux/"))]
    classes = set(CLASS.findall(line)) - names_of_code() - OTHERS_CLASSES - OTHERS_OPTIONS
    return gone + sorted(classes)


def test_what_is_named_exists() -> None:
    found = [
        f"{path}:{number}: {name}"
        for path in READ
        for number, line in prose(path)
        for name in missing(line)
        if "." in name or path.suffix in {".py", ".pyi"}
    ]
    assert not found, "gone or renamed; what is another project's goes into OTHERS_…"


@pytest.mark.parametrize(
    "line",
    [
        "Neighbours: node.py, gone.py",
        "see tox/router.py",
        "cli/{peer,gone}.py",
        "Raises GoneError.",
        "See `Gone.close`.",
    ],
)
def test_the_rule_sees_what_is_gone(line: str) -> None:
    assert missing(line)


@pytest.mark.parametrize(
    "line", ["node.py, tun/router.py", "Raises ConfigError.", "`Roads`", "linux/udp.h", "bench/NAME.py"]
)
def test_the_rule_lets_pass_what_exists(line: str) -> None:
    assert not missing(line)


def test_each_class_has_a_name_of_its_own() -> None:
    """Those of an underscore are known in their module only, and may be as short as they like.

    Programs see those of `import toxvpn` alone, under the plainest names.
    """
    found: dict[str, list[str]] = {}
    for path in sorted(file for file in FILES if file.parts[0] == "toxvpn" and file.suffix == ".py"):
        for node in ast.parse((ROOT / path).read_text()).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                if path.parts[1] == "api" and node.name in toxvpn.__all__:
                    continue
                found.setdefault(node.name, []).append(str(path))
    twice = {name: paths for name, paths in found.items() if len(paths) > 1}
    assert not twice, "name the lesser one for what it is"
