"""What the guide pages say of the program and of its tests is so: messages, and names of tests."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
MESSAGES = re.compile(r"^```text\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NAMED_TEST = re.compile(r"`(?:(tests/[\w/]+\.py)(?:::))?(test_\w+)`")
PLACEHOLDER = re.compile(r"(?:%[a-z]|\{\}|…)+")
ANY = "\0"


def quoted() -> Iterator[str]:
    """What troubleshooting.md shows as messages of the program; `…` stands for what differs.

    A line that begins with blanks belongs to the one before.
    """
    for block in MESSAGES.findall(DOCS.joinpath("troubleshooting.md").read_text()):
        yield from re.sub(r"\n +", " ", block).splitlines()


@cache
def said() -> str:
    """All texts of the program, a line each."""
    texts: list[str] = []
    for path in sorted((ROOT / "toxvpn").rglob("*.py")):
        if "testing" not in path.parts:
            texts += filter(None, map(text, ast.walk(ast.parse(path.read_text()))))
    return "\n".join(map(flat, texts))


def text(node: ast.AST) -> str | None:
    match node:
        case ast.Constant(value=str(plain)):
            return plain
        case ast.JoinedStr(values=parts):
            return "".join(text(part) or "{}" for part in parts)
    return None


def flat(line: str) -> str:
    return PLACEHOLDER.sub(ANY, line)


@pytest.mark.parametrize("message", list(quoted()))
def test_a_message_that_is_quoted_is_one_of_the_programs(message: str) -> None:
    assert flat(message) in said()


def test_a_message_that_is_nowhere_is_seen() -> None:
    assert flat("the peer was not reached in … weeks: try again") not in said()


@cache
def known_tests() -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for path in (ROOT / "tests").rglob("test_*.py"):
        for name in re.findall(r"^\s*(?:async )?def (test_\w+)", path.read_text(), re.MULTILINE):
            found.setdefault(name, set()).add(str(path.relative_to(ROOT)))
    return found


@pytest.mark.parametrize("page", ["security-model.md"])
def test_the_tests_that_a_page_names_exist(page: str) -> None:
    named = NAMED_TEST.findall(DOCS.joinpath(page).read_text())
    assert named
    for path, name in named:
        assert name in known_tests(), name
        assert not path or path in known_tests()[name], f"{path}::{name}"
