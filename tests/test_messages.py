"""Messages that a person can see follow a few rules, so that they read as if one hand had written them.

An error or a line of the log begins small, has no full stop, and names the value that is wrong. Help is whole
sentences. No text speaks in riddles such as "'x' is none". Texts are read from the source, with `{}` for each
placeholder.
"""

import ast
import builtins
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "toxvpn"

PROPER = {"Linux", "Prometheus", "Tox"}
"""Besides acronyms (TUN, IPv4, SOCKS5), which are known by their second capital or digit."""

RIDDLES = {
    r"\b(is|are|was) (none|neither)\b": "say what it must be, and what it is",
    r"(?<![Tt]here )\b(is|are|was|be) no\b(?! longer)": "write 'is not a'",
    r"\bto be had\b": "write 'not available'",
    r"\b(whoever|nobody's)\b": "say which one",
    r"^\S+ what\?|^whom?\?": "say what is missing",
}
"""Patterns that no text may contain, and what to do instead."""

LOG_CALLS = {"info", "warning", "error", "exception", "critical"}
RESULTS = {"ok", "limited", "failed"}
"""What makes the doctor's findings: layer, detail, what to do."""
MESSAGE_TABLES = {"MESSAGES"}
HELP_TABLES = {"VERBS"}


@dataclass(frozen=True, slots=True)
class Text:
    where: str
    text: str

    def __str__(self) -> str:
        return f"{self.where}: {self.text}"


# -- what the source says -------------------------------------------------------------------------


def texts(value: ast.expr) -> list[str]:
    """All that an expression can say, as far as the source shows it."""
    match value:
        case ast.Constant(value=str(text)):
            return [text]
        case ast.JoinedStr():
            return ["".join(str(getattr(part, "value", "")) if isinstance(part, ast.Constant) else "{}"
                            for part in value.values)]  # fmt: skip
        case ast.IfExp():
            return texts(value.body) + texts(value.orelse)
        case ast.BinOp(op=ast.Add()):
            return [a + b for a in texts(value.left) or ["{}"] for b in texts(value.right) or ["{}"]]
    return []


def name_of(value: ast.expr) -> str:
    return getattr(value, "id", "") or getattr(value, "attr", "")


@cache
def trees() -> dict[str, ast.Module]:
    """Every module of the program by its path in toxvpn/."""
    paths = (path for path in sorted(ROOT.rglob("*.py")) if "testing" not in path.parts)
    return {str(path.relative_to(ROOT)): ast.parse(path.read_text()) for path in paths}


@cache
def error_names() -> set[str]:
    """ToxvpnError and ValueError, whose text becomes a message, and all that is derived from them."""
    classes = [node for tree in trees().values() for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    names = {"ToxvpnError", "ValueError"}
    while more := {each.name for each in classes if names & set(map(name_of, each.bases))} - names:
        names |= more
    return names


def message_arguments(call: ast.Call) -> Iterable[ast.expr]:
    name = name_of(call.func)
    if name in error_names():
        return call.args
    if name in LOG_CALLS and name_of(getattr(call.func, "value", call)) == "log":
        return call.args[:1]
    if any(name_of(each) == "log" for each in call.args):  # it logs for us
        return call.args
    if name in {"echo", "print"} or name.startswith(("print_", "log_", "warn_", "describe_")):
        return call.args
    if name in RESULTS:
        return call.args[1:]
    return ()


def tables(tree: ast.AST, names: set[str]) -> Iterator[ast.expr]:
    """The values of dicts of these names."""
    for node in ast.walk(tree):
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Dict(values=values)) if name in names:
                yield from values


def messages(tree: ast.AST, where: str) -> Iterator[Text]:
    """Errors, lines of the log, what is printed."""
    found = list(tables(tree, MESSAGE_TABLES))
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            found += message_arguments(node)
    for value in found:
        yield from (Text(f"{where}:{value.lineno}", text) for text in texts(value))


def raised(tree: ast.AST, where: str) -> Iterator[Text]:
    """Of errors that a function makes, and of those that become part of another message."""
    for node in ast.walk(tree):
        match node:
            case ast.Raise(exc=ast.Call() as made) if not hasattr(builtins, name_of(made.func)):
                for value in set(made.args) - set(message_arguments(made)):
                    yield from (Text(f"{where}:{value.lineno}", text) for text in texts(value))


def help_texts(tree: ast.AST, where: str) -> Iterator[Text]:
    """Of options, of commands (their docstrings, a paragraph at a time), and of the list of verbs."""
    found = list(tables(tree, HELP_TABLES))
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            found += [keyword.value for keyword in node.keywords if keyword.arg == "help"]
        elif isinstance(node, ast.FunctionDef) and any(map(is_command, node.decorator_list)):
            for paragraph in (ast.get_docstring(node) or "").split("\n\n"):
                yield Text(f"{where}:{node.lineno}", " ".join(paragraph.split()))
    for value in found:
        yield from (Text(f"{where}:{value.lineno}", text) for text in texts(value))


def is_command(decorator: ast.expr) -> bool:
    return isinstance(decorator, ast.Call) and name_of(decorator.func) in {"command", "group"}


def prose(tree: ast.AST, where: str) -> Iterator[Text]:
    """Every text of several words that is not a docstring."""
    inside = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant | ast.JoinedStr) and id(node) not in inside | docstrings:
            yield from (Text(f"{where}:{node.lineno}", text) for text in texts(node) if " " in text)


# -- the rules ------------------------------------------------------------------------------------


def begins_with_capital(text: str) -> bool:
    """Whether its first word is a plain one with a capital: neither a name nor an acronym."""
    word = (re.match(r"[\w'-]*", text) or [""])[0]
    return word[:1].isupper() and word not in PROPER and not re.search(r"[A-Z0-9]", word[1:])


def faults_of_form(text: str) -> list[str]:
    faults = []
    if begins_with_capital(text):
        faults.append("begins with a capital")
    if text.rstrip().endswith("."):
        faults.append("ends with a full stop")
    return faults


def faults_of_message(text: str) -> list[str]:
    faults = faults_of_form(text)
    if re.search(r"; expected |\bmust be\b|\bout of range\b|\bis not an? ", text) and not names_a_value(text):
        faults.append("does not name the value that is wrong")
    return faults


def names_a_value(text: str) -> bool:
    return "{}" in text or "%" in text


def faults_of_help(text: str) -> list[str]:
    faults = []
    if text[:1].islower():
        faults.append("begins small")
    if not re.search(r"[.:]( \[default: .*\])?$", text):
        faults.append("does not end with a full stop")
    return faults


def riddles_in(text: str) -> list[str]:
    return [
        f"{found[0]!r}: {advice}" for riddle, advice in RIDDLES.items() if (found := re.search(riddle, text))
    ]


def faults(tree: ast.AST, where: str) -> list[str]:
    return [
        f"{text}: {fault}"
        for found, rule in (
            (messages, faults_of_message),
            (raised, faults_of_form),
            (help_texts, faults_of_help),
            (prose, riddles_in),
        )
        for text in found(tree, where)
        for fault in rule(text.text)
    ]


@pytest.mark.parametrize("path", trees())
def test_texts_follow_the_rules(path: str) -> None:
    assert faults(trees()[path], path) == []


@pytest.mark.parametrize(
    "line",
    [
        'raise UsageError("The port is missing")',
        'raise ConfigError(f"{path}: the key is wrong.")',
        'raise TunForbiddenError(f"The device {name} is gone")',
        'raise damaged(path, "It is empty")',
        'raise BuildError("there is no device.")',
        'log.warning("Peer %s is gone", name)',
        'log.info("peer %s is gone.", name)',
        'raise ValueError(f"{value!r} is none")',
        'raise ValueError(f"{value!r} is neither true nor false")',
        'raise ValueError(f"{value!r} is no port")',
        'raise ValueError("must be a number from 1 to 65535")',
        'raise UsageError(f"{name} what? one of a, b")',
        'click.echo("It works")',
        'x = failed(Layer.UDP, "Nothing answers", "see the firewall.")',
        'MESSAGES = {"BAD": "No memory."}',
        'click.option("-x", help="do something.")',
        'click.option("-x", help="Do something")',
        'VERBS = {"up": "be on the network"}',
        '@click.command("x")\ndef command() -> None:\n    """Do something"""',
        'reason = f"{key} is no key"',
    ],
)
def test_a_bad_text_is_seen(line: str) -> None:
    assert faults(ast.parse(line), "x.py")


@pytest.mark.parametrize(
    "line",
    [
        'raise UsageError("Tox IDs have 76 digits")',
        'raise UsageError("IPv4 addresses have 4 bytes")',
        'raise UsageError(f"{value!r} is not a port: give one from 1 to 65535")',
        'raise UsageError("-L: there is no port")',
        'log.info("peer %s is gone", name)',
        'log.debug("Anything.")',
        'click.option("-x", help="Do something. [default: never]")',
        'def command() -> None:\n    """Do something"""',
    ],
)
def test_a_good_text_passes(line: str) -> None:
    assert faults(ast.parse(line), "x.py") == []
