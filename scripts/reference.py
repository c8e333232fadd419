"""The reference pages of the site that follow from the program: Markdown for docs/reference/.

Their sources are the man page's (manual.py): click's commands, errors.py, the tables of variables and files.
"""

import re
from collections.abc import Iterable, Iterator
from textwrap import dedent

import click
import manual

from toxvpn.cli.root import EXAMPLES, HEADINGS, root
from toxvpn.cli.shared import SHARED, takes

WRITTEN = "<!-- Written by scripts/generate: do not edit. -->"
SYNOPSIS = """\
toxvpn [OPTION]...                                             serve
toxvpn -i ID [OPTION]...                                       call
toxvpn [-C DIR] [-b FILE] [-d] [-q] COMMAND [ARGUMENT]...      anything else"""


def command_line() -> str:
    context = click.Context(root, info_name="toxvpn", **root.context_settings)
    lines = [
        WRITTEN,
        "",
        "# The command line",
        "",
        *fenced(SYNOPSIS),
        *paragraphs(root.help or ""),
        "What a command may end with is in [exit codes](exit-codes.md), what the configuration may say in "
        "[config.toml](../configuration.md).",
        "",
        *fenced(dedent(EXAMPLES.removeprefix("\b\nExamples:\n"))),
        "## Options",
        "",
    ]
    options = [each for each in root.get_params(context) if isinstance(each, click.Option)]
    for heading in HEADINGS:
        lines += [f"### {heading}", ""]
        lines += entries(each for each in options if getattr(each, "heading", "Common") == heading)
    lines += ["## Commands", "", "Each takes `-C`, `-b`, `-d`, `-q` and `-h` too.", ""]
    for name in root.list_commands(context):
        command = root.get_command(context, name)
        assert command is not None
        lines += described(name, command)
    return page(lines)


def exit_codes() -> str:
    lines = [WRITTEN, "", "# Exit codes, variables and files", "", "## Exit codes", ""]
    lines += table(("code", "meaning"), manual.exit_codes())
    lines += ["A script can rely on them; the line on stderr is for a person.", "", "## Environment", ""]
    lines += table(("variable", "meaning"), manual.ENVIRONMENT.items())
    lines += ["## Files", "", "With `-C DIR` all of them are in DIR.", ""]
    lines += table(("file", "holds"), manual.FILES.items())
    return page(lines)


def page(lines: Iterable[str]) -> str:
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).rstrip() + "\n"


def described(name: str, command: click.Command) -> Iterator[str]:
    if isinstance(command, click.Group):
        for inner, subcommand in sorted(command.commands.items()):
            yield from described(f"{name} {inner}", subcommand)
        return
    shared = manual.names(takes(SHARED)(click.Command("shared")).params)
    options = [each for each in command.params if isinstance(each, click.Option) and each.name not in shared]
    above = {tuple(each.opts): each.help for each in root.params if isinstance(each, click.Option)}
    own = [each for each in options if above.get(tuple(each.opts)) != each.help]
    words = ["toxvpn", name, *(["[OPTION]..."] if options else []), *manual.arguments(command)]
    yield from (f"### {name}", "", *fenced(" ".join(words)), *paragraphs(command.help or ""), *entries(own))
    if known := [f"`{each.opts[0]}`" for each in options if each not in own]:
        yield from (f"Also {', '.join(known)}: see [options](#options).", "")


def entries(options: Iterable[click.Option]) -> Iterator[str]:
    for option in options:
        value = "" if option.is_flag or option.count else manual.value_name(option)
        spelled = ", ".join([*option.opts, *option.secondary_opts])
        default = f" [default: {option.default}]" if option.show_default is True else ""
        yield f"- `{f'{spelled} {value}'.strip()}`\\\n  {plain(option.help or '')}{default}"
    yield ""


def table(head: tuple[str, str], rows: Iterable[tuple[str, str]]) -> Iterator[str]:
    yield from (f"| {head[0]} | {head[1]} |", "|---|---|")
    for terms, meaning in rows:
        yield f"| {', '.join(f'`{term}`' for term in terms.split(', '))} | {plain(meaning)} |"
    yield ""


def fenced(text: str) -> Iterator[str]:
    yield from ("", "```text", text.rstrip(), "```", "")


def paragraphs(text: str) -> Iterator[str]:
    """Of a help text: filled ones, and those after a \\b as they are."""
    for paragraph in re.split(r"\n\s*\n", text.strip("\n ")):
        lines = paragraph.lstrip("\b\n").splitlines()
        if paragraph.startswith("\b"):
            yield from fenced("\n".join(lines))
        else:
            yield from (plain(" ".join(line.strip() for line in lines)), "")


def plain(text: str) -> str:
    """Text as Markdown, flags and variables in code. What stands between backticks is code already."""
    parts = re.split(r"(`[^`]*`)", text)
    return "".join(part if part.startswith("`") else _marked(part) for part in parts)


def _marked(text: str) -> str:
    text = re.sub(r"([*<|\\])", r"\\\1", text)
    return re.sub(r"(?<![\w\-\[])(--?[A-Za-z][\w-]*|[A-Z]+(?:_[A-Z]+)+)", r"`\1`", text)
