"""The man page, from the one definition of the command line (toxvpn/cli): click commands in, roff out.

What click does not know is here: environment, files, and where else to look. Exit codes are errors.py's, keys
of the configuration config/model.py's.
"""

import re
from collections.abc import Iterable, Iterator

import click
import keylist

from toxvpn import __version__, errors
from toxvpn.cli.root import EXAMPLES, HEADINGS, root
from toxvpn.cli.shared import SHARED, takes

NAME = "reach a machine behind any NAT by its Tox ID: as TCP forward or as a network"
ENVIRONMENT = {
    "TOXVPN_SHARED_SECRET, TUNTOX_SHARED_SECRET": "The shared secret, unless -s or --secret-file gives it.",
    "ALL_PROXY, all_proxy": "The proxy to reach Tox through, unless --proxy gives it.",
    "NO_COLOR": "No colours, also on a terminal.",
    "XDG_CONFIG_HOME, XDG_DATA_HOME, XDG_STATE_HOME, XDG_RUNTIME_DIR": "Where an ordinary user's files are.",
    "TOXVPN_SERVICE": "Set for a service that does not run as root: it has root's places.",
    "TOXVPN_NETWORK": "Set for a command of toxvpn exec: the process that owns its network.",
    "TOXVPN_PAGE_LOCK=strict": "Lock all of libtoxcore's scratch memory into RAM, its own way; slow.",
    "TOXVPN_SOCKETS, TOXVPN_UDP_BATCH, TOXVPN_STREAMS, TOXVPN_SCRATCH, TOXVPN_CLOCK, TOXVPN_CRYPTO": (
        "With the value off, this part of libtoxcore stays as it is: network, memory, clock, encryption; "
        "toxvpn -V tells what is in force."
    ),
    "TOXVPN_PORT_MAPPING=off": "Do not ask the router for a port, as --no-port-mapping.",
    "TOXVPN_REUNION=off": "Search for a peer that was met before like for a new one.",
    "TOXVPN_DETOUR=off": "Reach no peer by way of a friend, and be no such friend.",
    "TOXVPN_QUICK=off": "Use the relay of a peer only where it came first.",
    "TOXVPN_PUNCH=off": "Behind a router that gives each destination another port, peers stay on a relay.",
}
FILES = {
    "/etc/toxvpn/config.toml, ~/.config/toxvpn/config.toml": "The configuration.",
    "/var/lib/toxvpn, ~/.local/share/toxvpn": "Identity (tox_save), secret, peers, and who was let in.",
    "/run/toxvpn, $XDG_RUNTIME_DIR/toxvpn": (
        "The control socket, and what is to be undone in the host's network."
    ),
}
CONFIGURATION = """
config.toml is in TOML: the key udp_ports of the section [node] is node.udp_ports here. A section that is
there, if empty, switches its part on: [server], [vpn], [peers.NAME], [[forwards]], [[socks]]. Flags go before
the file. Relative paths are relative to it. toxvpn config check and toxvpn config show say what is in force.
"""
SEE_ALSO = "ssh(1), ip(8), tuntox(1)"


def page() -> str:
    context = click.Context(root, info_name="toxvpn", **root.context_settings)
    lines = [
        '.\\" Written by scripts/generate: do not edit.',
        f'.TH TOXVPN 1 "" "toxvpn {__version__}" "User Commands"',
        ".SH NAME",
        f"toxvpn \\- {escaped(NAME)}",
        ".SH SYNOPSIS",
        *synopsis(),
        ".SH DESCRIPTION",
        *paragraphs(root.help or ""),
        *options_by_heading(context),
        ".SH COMMANDS",
        "Each takes \\-C, \\-b, \\-d and \\-q too, and \\-h.",
        *commands(context),
        ".SH CONFIGURATION",
        *paragraphs(CONFIGURATION),
        *definitions(keylist.entries()),
        ".SH EXIT STATUS",
        *definitions(exit_codes()),
        ".SH ENVIRONMENT",
        *definitions(ENVIRONMENT.items()),
        ".SH FILES",
        "With \\-C DIR all of them are in DIR.",
        *definitions(FILES.items()),
        ".SH EXAMPLES",
        *paragraphs(EXAMPLES.replace("Examples:\n", "")),
        ".SH SEE ALSO",
        escaped(SEE_ALSO),
    ]
    return "\n".join(lines) + "\n"


def synopsis() -> Iterator[str]:
    for words in ("[OPTION]...", "-i ID [OPTION]...", "[-C DIR] [-b FILE] [-d] [-q] COMMAND [ARGUMENT]..."):
        yield f"\\fBtoxvpn\\fR {escaped(words)}"
        yield ".br"


def options_by_heading(context: click.Context) -> Iterator[str]:
    yield ".SH OPTIONS"
    options = [each for each in root.get_params(context) if isinstance(each, click.Option)]
    for heading in HEADINGS:
        yield f".SS {heading}"
        for option in options:
            if getattr(option, "heading", "Common") == heading:
                yield from option_entry(option)


def commands(context: click.Context) -> Iterator[str]:
    shared = names(takes(SHARED)(click.Command("shared")).params)
    above = {tuple(option.opts): option for option in root.params if isinstance(option, click.Option)}
    for name in root.list_commands(context):
        command = root.get_command(context, name)
        assert command is not None
        yield from command_section(name, command, shared, above)


def command_section(
    name: str,
    command: click.Command,
    shared: set[str | None],
    above: dict[tuple[str, ...], click.Option],
) -> Iterator[str]:
    if isinstance(command, click.Group):
        for inner, subcommand in sorted(command.commands.items()):
            yield from command_section(f"{name} {inner}", subcommand, shared, above)
        return
    options = [each for each in command.params if isinstance(each, click.Option) and each.name not in shared]
    words = ["toxvpn", name, *(["[OPTION]..."] if options else []), *arguments(command)]
    yield f".SS {escaped(' '.join(words))}"
    yield from paragraphs(command.help or "")
    known = []
    for option in options:
        same = above.get(tuple(option.opts))
        if same is not None and same.help == option.help:
            known.append(option.opts[0])
        else:
            yield from option_entry(option)
    if known:
        yield ".PP"
        yield escaped(f"Also {', '.join(known)}: see OPTIONS.")


def names(parameters: Iterable[click.Parameter]) -> set[str | None]:
    return {each.name for each in parameters}


def arguments(command: click.Command) -> Iterator[str]:
    for argument in command.params:
        if isinstance(argument, click.Argument):
            word = argument.metavar or choices(argument.type) or (argument.name or "").upper()
            if not argument.required and not word.startswith("["):
                word = f"[{word}]"
            yield word


def choices(kind: click.ParamType) -> str | None:
    return "|".join(map(str, kind.choices)) if isinstance(kind, click.Choice) else None


def value_name(option: click.Option) -> str:
    return option.metavar or choices(option.type) or "N"


def option_entry(option: click.Option) -> Iterator[str]:
    value = "" if option.is_flag or option.count else value_name(option)
    spelled = ", ".join(f"\\fB{escaped(each)}\\fR" for each in [*option.opts, *option.secondary_opts])
    yield ".TP"
    yield spelled + (f" \\fI{escaped(value)}\\fR" if value else "")
    default = f" [default: {option.default}]" if option.show_default is True else ""
    yield escaped(f"{option.help or ''}{default}")


def exit_codes() -> Iterator[tuple[str, str]]:
    """From what errors.py says of them."""
    _, _, said = (errors.__doc__ or "").partition("Exit codes: ")
    for code, meaning in re.findall(r"(\d+(?:\+n)?) (.+?)(?:, (?=\d)|\.\s*$)", " ".join(said.split())):
        yield code, meaning[0].upper() + meaning[1:] + "."


def definitions(entries: Iterable[tuple[str, str]]) -> Iterator[str]:
    for term, meaning in entries:
        yield ".TP"
        yield f"\\fB{escaped(term)}\\fR"
        yield escaped(meaning)


def paragraphs(text: str) -> Iterator[str]:
    """Of a help text: filled ones, and those after a \\b as they are."""
    for paragraph in re.split(r"\n\s*\n", text.strip("\n ")):
        literal = paragraph.startswith("\b")
        lines = paragraph.lstrip("\b\n").splitlines()
        yield ".PP"
        if literal:
            yield from (".nf", *map(escaped, lines), ".fi")
        else:
            yield escaped(" ".join(line.strip() for line in lines))


def escaped(text: str) -> str:
    """Fit for a line of roff."""
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq").replace("`", "\\(ga")
    return "\\&" + text if text.startswith(".") else text
