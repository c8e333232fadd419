"""Writes frames as an asciicast (version 2) and as an animated SVG, which a forge shows as a picture.

The SVG holds each different line once, and each frame as a column of references to lines. A strip of all
frames moves behind a window, one step a frame. Where nothing
moves, the last frame is seen.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise

NAMESPACE = "http://www.w3.org/2000/svg"
FONTS = "ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace"
FONT_SIZE = 13
COLUMN = 7.83  # of a monospace font of this size
ROW = 17
MARGIN = 12
END_S = 5.0
"""How long the last frame stays."""
COLOURS = {
    "default": "#d8dee9", "bar": "#7b88a1", "red": "#ff7b72", "green": "#7ee787", "brown": "#e3b341",
    "blue": "#79c0ff", "magenta": "#d2a8ff", "cyan": "#76e3ea", "white": "#f0f6fc", "black": "#6e7681",
}  # fmt: skip
ANSI = {"bar": 90, "black": 90, "red": 31, "green": 32, "brown": 33, "blue": 34, "magenta": 35, "cyan": 36}


@dataclass(frozen=True)
class Run:
    """Characters that look the same, from this column on."""

    column: int
    text: str
    colour: str = "default"
    bold: bool = False


Line = tuple[Run, ...]


@dataclass(frozen=True)
class Frame:
    at_s: float
    lines: tuple[Line, ...]


def without_long_waits(frames: Sequence[Frame], longest_s: float) -> list[Frame]:
    """The same frames; where nothing happened for longer, less time passes."""
    kept = [Frame(0.0, frames[0].lines)]
    for before, frame in pairwise(frames):
        kept.append(Frame(kept[-1].at_s + min(frame.at_s - before.at_s, longest_s), frame.lines))
    return kept


def cast(frames: Sequence[Frame], columns: int, title: str) -> str:
    height = len(frames[0].lines)
    header = {"version": 2, "width": columns, "height": height, "title": title}
    text = [json.dumps(header)]
    shown: tuple[Line, ...] = ((),) * height
    for frame in frames:
        changed = (
            f"\x1b[{row};1H\x1b[2K{ansi(line)}"
            for row, (line, before) in enumerate(zip(frame.lines, shown, strict=True), 1)
            if line != before
        )
        text.append(json.dumps([round(frame.at_s, 3), "o", "".join(changed)], ensure_ascii=False))
        shown = frame.lines
    return "\n".join(text) + "\n"


def ansi(line: Line) -> str:
    return "".join(
        f"\x1b[{run.column + 1}G\x1b[{1 if run.bold else 0};{ANSI.get(run.colour, 39)}m{run.text}\x1b[0m"
        for run in line
    )


def svg(frames: Sequence[Frame], columns: int, title: str) -> str:
    width = round(columns * COLUMN + 2 * MARGIN)
    height = len(frames[0].lines) * ROW + 2 * MARGIN
    names: dict[Line, str] = {}
    columns_of_lines = []
    for number, frame in enumerate(frames):
        uses = [
            f'<use href="#{names.setdefault(line, f"l{len(names)}")}" y="{MARGIN + row * ROW}"/>'
            for row, line in enumerate(frame.lines)
            if line
        ]
        columns_of_lines.append(f'<g transform="translate({number * width})">{"".join(uses)}</g>')
    lasts_s = frames[-1].at_s + END_S
    steps = "".join(
        f"{frame.at_s / lasts_s:.3%}{{transform:translateX({-number * width}px)}}"
        for number, frame in enumerate(frames)
    )
    last = -(len(frames) - 1) * width
    styles = "".join(f".{name}{{fill:{value}}}" for name, value in COLOURS.items())
    definitions = "".join(f'<g id="{name}">{text(line)}</g>' for line, name in names.items())
    return f"""<svg xmlns="{NAMESPACE}" viewBox="0 0 {width} {height}" width="{width}" role="img">
<title>{escape(title)}</title>
<style>
text{{font:{FONT_SIZE}px {FONTS};white-space:pre}}
.b{{font-weight:bold}}{styles}
#strip{{transform:translateX({last}px);animation:strip {lasts_s:.2f}s step-end infinite}}
@keyframes strip{{{steps}100%{{transform:translateX({last}px)}}}}
@media (prefers-reduced-motion:reduce){{#strip{{animation:none}}}}
</style>
<defs>{definitions}</defs>
<rect width="{width}" height="{height}" rx="8" fill="#161b22"/>
<svg width="{width}" height="{height}"><g id="strip">{"".join(columns_of_lines)}</g></svg>
</svg>
"""


def text(line: Line) -> str:
    return "".join(
        f'<text class="{kind(run)}" x="{MARGIN + run.column * COLUMN:.1f}" y="{FONT_SIZE}">'
        f"{escape(run.text)}</text>"
        for run in line
    )


def kind(run: Run) -> str:
    colour = run.colour if run.colour in COLOURS else "default"
    return f"{colour} b" if run.bold else colour
