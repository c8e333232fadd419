"""The walks of docs/design.md: each step is in the code, and names the next one where the page says so."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "design.md"

STEP = re.compile(r"^    (?:(?P<arrow>->|~>) |   )(?P<file>[\w/]+\.\w+): (?P<name>[\w.]+)(?:  +\S.*)?$")
"""`->`: the function above names this one. `~>`: it is reached through a callback, a socket or a process."""


@dataclass(frozen=True, slots=True)
class Step:
    arrow: str | None
    file: str
    name: str

    @property
    def path(self) -> Path:
        return ROOT / "toxvpn" / self.file

    def __str__(self) -> str:
        return f"{self.file}: {self.name}"


def walks(page: str) -> dict[str, list[Step]]:
    """The steps below each `### ` heading of the section on walks, by that heading.

    Raises ValueError: an indented line there is not a step.
    """
    section = re.search(r"^## The walks\n(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL)
    if section is None:
        raise ValueError("the page has no section '## The walks'")
    found: dict[str, list[Step]] = {}
    for part in re.split(r"^### ", section[1], flags=re.MULTILINE)[1:]:
        heading, _, text = part.partition("\n")
        found[heading] = [read_step(line) for line in text.splitlines() if line.startswith("    ")]
    return found


def read_step(line: str) -> Step:
    match = STEP.match(line)
    if match is None:
        raise ValueError(f"{line!r} is not a step: '    -> file: function  what it does'")
    return Step(match["arrow"], match["file"], match["name"])


def source(path: Path, name: str) -> str | None:
    """The text of a function, or of a class; None when the file does not define it."""
    text = path.read_text()
    if path.suffix in {".c", ".h"}:
        body = re.search(rf"^(?!\s)[^;\n]*\b{name}\([^;{{]*\{{\n.*?^\}}", text, re.MULTILINE | re.DOTALL)
        return body and body[0]
    block: str | None = text
    for part in name.split("."):
        block = block and python_block(block, part)
    return block


def python_block(text: str, name: str) -> str | None:
    """The definition of `name` in Python or Cython, to where the indentation ends."""
    head = re.search(
        rf"^(?P<indent> *)(?:async )?(?:def|class|cdef class|cdef|cpdef) ?(?:[\w*\[\] ]+ \*?)?{name}\b.*$",
        text,
        re.MULTILINE,
    )
    if head is None:
        return None
    lines = [head[0]]
    for line in text[head.end() + 1 :].splitlines():
        indent = len(line) - len(line.lstrip())
        if line.strip() and indent <= len(head["indent"]) and not line.lstrip().startswith(")"):
            break
        lines.append(line)
    return "\n".join(lines)


def wrong(steps: list[Step]) -> Iterator[str]:
    before = ""
    for step in steps:
        found = source(step.path, step.name) if step.path.is_file() else None
        if found is None:
            yield f"{step}: there is no such function"
            continue
        called = step.name.removesuffix(".__init__").rpartition(".")[2]
        if step.arrow == "->" and not re.search(rf"\b{called}\b", before):
            yield f"{step}: the step before does not name it"
        before = found


WALKS = walks(PAGE.read_text())


@pytest.mark.parametrize("heading", WALKS)
def test_every_step_is_there(heading: str) -> None:
    assert len(WALKS[heading]) > 2
    assert list(wrong(WALKS[heading])) == []


def test_a_page_that_is_out_of_date_is_noticed() -> None:
    page = (
        "## The walks\n### One\n    "
        + "   cli/main.py: main  x\n    -> cli/main.py: gone\n    -> errors.py: ToxvpnError\n"
    )
    assert list(wrong(walks(page)["One"])) == [
        "cli/main.py: gone: there is no such function",
        "errors.py: ToxvpnError: the step before does not name it",
    ]
    with pytest.raises(ValueError, match="not a step"):
        walks("## The walks\n### One\n    cli/main.py main\n")
