"""The reference page of `import toxvpn`, made from signatures and docstrings as they stand in the source."""

import ast
import inspect
from collections.abc import Iterable, Iterator
from itertools import pairwise
from textwrap import dedent
from typing import Any

from reference import WRITTEN, page, table

import toxvpn

FIRST = ("node", "Node", "Peer", "Server", "Forward", "Event", "NetworkEvent", "PeerEvent")
INTRODUCTION = """\
What is promised of `import toxvpn`; [From Python](../python.md) explains it. Whatever is not here is the
inside of toxvpn."""


def python() -> str:
    lines = [WRITTEN, "", "# The Python module", "", INTRODUCTION, ""]
    for name in FIRST:
        lines += [f"## {name}", "", *described(name, getattr(toxvpn, name))]
    errors = {name: getattr(toxvpn, name) for name in sorted(set(toxvpn.__all__) - set(FIRST))}
    lines += ["## Errors", "", "Each of them is a `ToxvpnError`.", ""]
    lines += table(("error", "means"), ((name, summary(each)) for name, each in errors.items()))
    return page(lines)


def described(name: str, of: Any) -> Iterator[str]:
    if inspect.isclass(of):
        yield from paragraphs(of)
        yield from attributes(of)
        for member in filter(inspect.isfunction, vars(of).values()):
            if not member.__name__.startswith("_"):
                yield from (f"### {name}.{member.__name__}", "", *code(signature(member)))
                yield from paragraphs(member)
    elif inspect.isfunction(of):
        yield from (*code(signature(inspect.unwrap(of))), *paragraphs(of))
    else:  # a union
        yield from (" or ".join(f"`{each.__name__}`" for each in of.__args__) + ".", "")


def attributes(of: type) -> Iterator[str]:
    """Properties, and what the constructor sets and has a docstring below."""
    properties = {name: each for name, each in vars(of).items() if isinstance(each, property)}
    found = {name: inspect.getdoc(each) or "" for name, each in properties.items()}
    for node in ast.walk(ast.parse(dedent(inspect.getsource(of)))):
        if isinstance(node, ast.FunctionDef) and node.name == "__init__":
            found |= documented(node.body)
    for name, text in found.items():
        yield f"- `{name}`: {text}"
    yield ""


def documented(body: list[ast.stmt]) -> dict[str, str]:
    found = {}
    for made, below in pairwise(body):
        target = made.targets[0] if isinstance(made, ast.Assign) else getattr(made, "target", None)
        match target, below:
            case ast.Attribute(attr=name), ast.Expr(value=ast.Constant(value=str(text))):
                found[name] = " ".join(text.split())
    return found


def signature(function: Any) -> str:
    """As it stands in the source, without the body."""
    source = dedent(inspect.getsource(function))
    [made] = ast.parse(source).body
    assert isinstance(made, ast.FunctionDef | ast.AsyncFunctionDef)
    return "\n".join(source.splitlines()[: made.body[0].lineno - 1]).removesuffix(":")


def paragraphs(of: Any) -> Iterator[str]:
    for paragraph in (inspect.getdoc(of) or "").split("\n\n"):
        yield from (" ".join(paragraph.split()), "")


def summary(of: Any) -> str:
    return (inspect.getdoc(of) or "").partition("\n")[0]


def code(text: str) -> Iterable[str]:
    return "```python", text, "```", ""
