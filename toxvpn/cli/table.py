"""Prints tables for people: coloured on a terminal, plain columns elsewhere and with NO_COLOR."""

import os
import sys
from collections.abc import Sequence

import click

STYLES = {"direct": "green", "tcp-relay": "yellow", "offline": "dim"}
"""Colours for cells that begin with such a word."""


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print the table on stdout."""
    click.echo(table(columns, rows, coloured=is_coloured()))


def is_coloured() -> bool:
    """Whether what is written to stdout may have colours."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")


def table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, coloured: bool) -> str:
    return in_colours(columns, rows) if coloured else plain(columns, rows)


def plain(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The columns aligned, two spaces apart."""
    lines = [columns, *rows]
    widths = [max(len(line[index]) for line in lines) for index in range(len(columns))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def in_colours(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """As wide as the terminal."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    made = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        made.add_column(column, overflow="fold")
    for row in rows:
        made.add_row(*(Text(cell, style=STYLES.get(cell.split(",")[0], "")) for cell in row))
    console = Console()
    with console.capture() as captured:
        console.print(made)
    return captured.get().rstrip("\n")


def size(count: int) -> str:
    """Bytes as people read them: `512 B`, `1.2 MB`."""
    if count < 1000:
        return f"{count} B"
    value = float(count)
    for unit in ("kB", "MB", "GB", "TB"):
        value /= 1000
        if value < 999.95:
            return f"{value:.1f} {unit}"
    return f"{value / 1000:.1f} PB"


def round_trip(seconds: float) -> str:
    return f"{seconds * 1000:.2f} ms"


def time_span(seconds: float) -> str:
    """As people say it, in at most two units: `40 s`, `12 min`, `3 h 12 min`, `2 d 5 h`."""
    whole = max(int(seconds), 0)
    minutes, hours, days = whole // 60, whole // 3600, whole // 86400
    if days:
        return f"{days} d {hours % 24} h"
    if hours:
        return f"{hours} h {minutes % 60} min"
    return f"{minutes} min" if minutes else f"{whole} s"


def path_word(path: str, via: str | None = None) -> str:
    """The words for a path: `direct`, `tcp-relay`, `friend box` or `offline`."""
    return f"{path} {via}" if via else {"udp": "direct", "none": "offline"}.get(path, path)
