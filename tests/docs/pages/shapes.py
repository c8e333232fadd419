"""Compares output with what a page shows: what differs from run to run needs to have the same form only.

An example of an ID, key, address, secret or token stands for the machine's own one. `Examples` knows which,
holds each to the same one every time, and puts them into later commands.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

NAMED = r"<[^<>\n]{1,40}>"
EXAMPLES = {
    "id": r"\b[0-9A-F]{76}\b",
    "key": r"\b[0-9A-F]{64}\b",
    "short key": r"\b[0-9A-F]{8}\b",
    "fingerprint": r"\bSHA256:[\w+/]{43}",
    "token": r"\btoxvpn-[A-Za-z2-7]{96}\b",
    "secret": r"(?<=TOXVPN_SHARED_SECRET=)[\w-]+",
    "IPv6": r"\bf[cd][0-9a-f]{2}:[0-9a-f:]+[0-9a-f]",
    "IPv4": r"\b\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}\b",
}
"""By kind: each stands for one value on a page."""
MEASURES = {
    "time of day": r"\b\d\d:\d\d(?::\d\d)?(?:\.\d+)?\b",
    "date": r"\b\d{4}-\d\d-\d\d\b",
    "number": r"\b\d+(?:\.\d+)?(?=\s?(?:ns|µs|ms|s|min|h|[KMG]i?B|[KMG]?bit|B|%)\b|%)|(?<=time=)[\d.]+",
    "process": r"(?<=process )\d+|(?<=PID: )\d+|(?<=pid )\d+",
}
"""Another value is as good each time."""
KINDS = EXAMPLES | MEASURES
VARIABLE = re.compile(
    "|".join(f"(?P<k{number}>{form})" for number, form in enumerate([NAMED, *KINDS.values()]))
)
ANYTHING = "…"
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b\][^\x07]*\x07|\x1b[=>]")


@dataclass
class Examples:
    """What a page's examples stand for in this run."""

    known: dict[str, str] = field(default_factory=dict)

    def put_into(self, text: str) -> str:
        """The text with the values of this run."""
        for example in sorted(self.known, key=len, reverse=True):
            bounds = ("", "") if example.startswith("<") else (r"(?<![\w.:])", r"(?![\w:]|\.\d)")
            text = self.known[example].join(re.split(re.escape(example).join(bounds), text))
        return text

    def match(self, expected: str, line: str) -> bool:
        """Whether the line is the expected one; if so, its values are kept."""
        pattern, groups = _pattern(expected)
        found = re.fullmatch(pattern, line)
        if not found:
            return False
        values = [(example, found[group]) for group, example in groups.items()]
        if any(self._contradicts(example, value) for example, value in values):
            return False
        self.known |= dict(values)
        return True

    def _contradicts(self, example: str, value: str) -> bool:
        return not example.startswith("<") and self.known.get(example, value) != value


def _pattern(expected: str) -> tuple[str, dict[str, str]]:
    """A regular expression, and its groups' names with the examples that they take the place of."""
    pattern, end = "", 0
    groups: dict[str, str] = {}
    forms = list(KINDS.items())
    for found in VARIABLE.finditer(expected):
        pattern += _fixed(expected[end : found.start()])
        end = found.end()
        number = int((found.lastgroup or "k0")[1:])
        kind, form = forms[number - 1] if number else ("named", r"\S+")
        if kind in MEASURES:
            pattern += r"[\d.:,-]+"
            continue
        name = f"g{len(groups)}"
        groups[name] = found[0]
        pattern += f"(?P<{name}>{form})"
    return pattern + _fixed(expected[end:]), groups


def _fixed(text: str) -> str:
    """Runs of blanks are alike, as columns move with what stands in them."""
    parts = text.split(ANYTHING)
    return ".*".join(re.sub(r"(?:\\ )+", r"\\s+", re.escape(part)) for part in parts)


def tidy(output: str) -> list[str]:
    """The lines of a terminal, as they can be read there in the end."""
    lines = ESCAPES.sub("", output).replace("\r\n", "\n").split("\n")
    return [line.rpartition("\r")[2].rstrip() for line in lines]


def all_of(expected: Sequence[str], lines: Sequence[str], examples: Examples) -> str | None:
    """None if the lines are what is expected, from first to last; else the first that is not."""
    left = [line for line in lines if line]
    wanted = [line for line in expected if line]
    while wanted:
        line = wanted.pop(0)
        if line.strip() == ANYTHING:
            if not wanted:
                return None
            while left and not examples.match(wanted[0], left[0]):
                left.pop(0)
            continue
        if not left or not examples.match(line, left.pop(0)):
            return line
    return left[0] if left else None


def some_of(expected: Sequence[str], lines: Sequence[str], examples: Examples) -> str | None:
    """None if the expected lines are among the others, in their order; else the first that is not."""
    left = iter(lines)
    for line in _without_gaps(expected):
        if not any(examples.match(line, other) for other in left):
            return line
    return None


def _without_gaps(expected: Sequence[str]) -> Iterator[str]:
    return (line for line in expected if line and line.strip() != ANYTHING)
