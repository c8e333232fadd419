"""The commands and files of a Markdown page, in order."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt

PROMPT = re.compile(r"(?P<host>[a-z][a-z0-9]*)?(?P<sign>[$#])[ ]+(?P<text>\S.*)")
ROOT_PROMPT = re.compile(r"[a-z][a-z0-9]*# ")
FILE = re.compile(r"<!-- file (?P<host>\w+):(?P<path>\S+) -->\s*")
HEREDOC = re.compile(r"<<-?\s*['\"]?(\w+)")
INTERRUPT = "^C"


class PageError(Exception):
    """A page does not keep to the rules (see __init__.py), or does not say what happens."""


@dataclass(frozen=True, slots=True)
class Command:
    """`expected` is empty where the page shows no output. `host` is empty for the one before."""

    host: str
    as_root: bool
    text: str
    expected: tuple[str, ...]
    line: int

    @property
    def interrupted(self) -> bool:
        return self.expected[-1:] == (INTERRUPT,)


@dataclass(frozen=True, slots=True)
class File:
    """A file that the reader writes."""

    host: str
    path: str
    content: str
    line: int


Step = Command | File


def steps(page: Path) -> list[Step]:
    """Raises PageError."""
    try:
        return list(_steps(page.read_text()))
    except PageError as error:
        raise PageError(f"{page}:{error}") from None


def _steps(text: str) -> Iterator[Step]:
    file = None
    for token in MarkdownIt("commonmark").enable("table").parse(text):
        line = token.map[0] + 1 if token.map else 0
        if token.type == "code_block":
            raise PageError(f"{line}: an indented block does not say what it is: use ```console, ```text, …")
        if token.type == "fence":
            if file:
                yield File(file["host"], file["path"], token.content, line)
            elif token.info in {"console", "sh", "bash"}:
                yield from commands(token.content.splitlines(), line + 1)
            elif not token.info or any(map(looks_like_a_command, token.content.splitlines())):
                raise PageError(f"{line}: commands stand in ```console blocks, anything else says what it is")
        file = FILE.fullmatch(token.content) if token.type == "html_block" else None


def looks_like_a_command(line: str) -> bool:
    return bool(re.match(r"[a-z][a-z0-9]*\$ |\$ ", line))


def commands(lines: Sequence[str], first: int) -> Iterator[Command]:
    """Those of one block."""
    rest = list(enumerate(lines, first))
    while rest:
        number, line = rest.pop(0)
        prompt = PROMPT.fullmatch(line)
        if not prompt or (prompt["sign"] == "#" and not prompt["host"]):
            if not line.strip():
                continue
            raise PageError(f"{number}: {line!r} is no prompt with a command, and belongs to none")
        text = prompt["text"]
        while text.endswith("\\") and rest:
            text = text[:-1] + rest.pop(0)[1].lstrip("> ")
        if end := HEREDOC.search(text):
            while rest and (line := rest.pop(0)[1]):
                text += f"\n{line}"
                if line == end[1]:
                    break
        output = []
        while rest and not _is_prompt(rest[0][1]):
            output.append(rest.pop(0)[1].rstrip())
        while output and not output[-1]:
            output.pop()
        yield Command(prompt["host"] or "", prompt["sign"] == "#", text.strip(), tuple(output), number)


def _is_prompt(line: str) -> bool:
    return looks_like_a_command(line) or bool(ROOT_PROMPT.match(line))
