"""The documentation of the keys of config.toml, from the table of settings (toxvpn/config/model.py).

Out: the example and the list in docs/configuration.md, and the man page's entries.
"""

from collections.abc import Iterator

from toxvpn.config.keys import Key, Section
from toxvpn.config.model import SECTIONS

COMMENT_COLUMN = 34
COMMENTED_OUT = {"proxy"}
"""Keys that cannot stand beside the others of the example."""


def example() -> str:
    """A file with every key."""
    return "\n\n".join("\n".join(example_section(section)) for section in SECTIONS)


def example_section(section: Section) -> Iterator[str]:
    yield commented(section.heading.replace("NAME", "box"), section.explain)
    for name, key in section.keys.items():
        mark = "# " if name in COMMENTED_OUT else ""
        value = '"1080"' if (section.name, name) == ("socks[N]", "listen") else key.example
        default = "" if key.default is None else f" [{key.default_shown.strip('()')}]"
        yield commented(f"{mark}{name} = {value}", key.explain + default)


def commented(line: str, comment: str) -> str:
    return f"{line.ljust(COMMENT_COLUMN - 2)}  # {comment}"


def table() -> str:
    """A row for each key, in Markdown."""
    rows = ["| key | value | default | flag | a change takes effect |", "|---|---|---|---|---|"]
    for section in SECTIONS:
        for name, key in section.keys.items():
            flag = "" if key.flag is None else f"`{key.flag.name}`"
            rows.append(
                f"| `{section.path(name)}` | {key.form} | {default_of(key)} | {flag} | {effect_of(key)} |"
            )
    return "\n".join(rows)


def entries() -> Iterator[tuple[str, str]]:
    """The path and the description of each key, for the man page."""
    for section in SECTIONS:
        for name, key in section.keys.items():
            said = [f"{key.explain[0].upper()}{key.explain[1:]}.", f"Value: {key.form}."]
            if key.default is not None:
                said.append(f"Default: {key.default_shown.strip('()')}.")
            if key.flag is not None:
                said.append(f"For one run: {key.flag.name}.")
            if key.restart:
                said.append("A change takes a restart.")
            yield section.path(name), " ".join(said)


def default_of(key: Key) -> str:
    return "must be given" if key.default is None else key.default_shown.strip("()")


def effect_of(key: Key) -> str:
    return "at a restart" if key.restart else "at a reload"
