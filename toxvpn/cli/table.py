"""Prints tables for people: coloured on a terminal, plain columns elsewhere and with NO_COLOR."""

import os
import sys
from collections.abc import Sequence

import click

STYLES = {"direct": "green", "tcp-relay": "yellow", "offline": "dim"}
"""Colours for cells that begin with such a word."""


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print the table on stdout."""
    if sys.stdout.isatty() and not os.environ.get("NO_COLOR"):
        print_coloured(columns, rows)
    else:
        click.echo(plain(columns, rows))


def plain(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The columns aligned, two spaces apart."""
    lines = [columns, *rows]
    widths = [max(len(line[index]) for line in lines) for index in range(len(columns))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def print_coloured(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell, style=STYLES.get(cell.split(",")[0], "")) for cell in row))
    Console().print(table)


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


def path_word(path: str) -> str:
    """The word for a path: `direct`, `tcp-relay` or `offline`."""
    return {"udp": "direct", "none": "offline"}.get(path, path)
