"""What toxvpn makes of the networks that people have: which path, how soon, and how fast.

Between the two ends of each scene (scenes.py) runs `toxvpn up`. The server's has been up for a while; the
client's starts with a new identity. "connected" is the time from its start to the first answer to a ping,
"direct" that to a path without a relay, if there is one within `watch` seconds. Then one TCP flow runs each
way over the VPN, and through a forward on either road, of clients and a server of their own. The second table
is of each kind of NAT with each, without flows. `--write 1` puts both into docs/networks.md; with
`--only REGEX` it replaces the rows of those scenes there. `--kinds ''` leaves the second table out.
"""

import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field

from lab import Lab

from .harness import ROOT, arguments, progress, spread, table
from .meeting import ROADS, Meeting
from .scenes import KINDS, PEOPLE, Scene, Street, kinds_of, scene_of

PAGE = ROOT / "docs/networks.md"
TOGETHER, KINDS_TOGETHER = 4, 8
"""Scenes in one lab; with forwards, each has five programs instead of two. They run beside each other, and
are idle while another scene is measured. All are nodes of Tox: with eight times five, mostly behind NATs, two
forwards of homes behind a carrier stayed on a relay for 50 s, and none with four times five."""

SETTLE_S = 10.0
"""So long after the last server's start the first client starts."""


@dataclass(slots=True)
class Outcomes:
    """Of all runs of one scene; the path is that at the end."""

    paths: list[str] = field(default_factory=list)
    connected_s: list[float] = field(default_factory=list)
    direct_s: list[float] = field(default_factory=list)
    mbit: dict[str, list[float]] = field(default_factory=lambda: {"vpn": [], **{road: [] for road in ROADS}})
    """By what carried the flow."""

    def path(self) -> str:
        """That of most runs, and of how many unless of all."""
        most = max(sorted(set(self.paths)), key=self.paths.count)
        times, runs = self.paths.count(most), len(self.paths)
        return most if times == runs else f"{most} ({times} of {runs})"

    def cells(self) -> list[str]:
        times = [spread(values) if values else "-" for values in (self.connected_s, self.direct_s)]
        rates = [rate_cell(values) for values in self.mbit.values()]
        return [self.path(), *times, *rates]


def rate_cell(mbit: Sequence[float]) -> str:
    """ "no": nothing came through."""
    return (spread(mbit, ".0f") if any(mbit) else "no") if mbit else "-"


def measure(scenes: Mapping[str, Scene], watch_s: float, seconds: int, outcomes: dict[str, Outcomes]) -> None:
    """One run of each scene, in a lab of their own."""
    with Lab() as lab, ThreadPoolExecutor(len(scenes)) as watchers:
        lab.bootstrap()
        meetings = {
            name: Meeting(lab, scene.make(Street(lab, number)))
            for number, (name, scene) in enumerate(scenes.items())
        }
        for meeting in meetings.values():
            meeting.serve()
        for meeting in meetings.values():
            meeting.wait_served()
        time.sleep(SETTLE_S)
        watched = {}
        for name, meeting in meetings.items():
            if (connected_s := meeting.connect()) is not None:
                outcomes[name].connected_s.append(connected_s)
            longest_s = watch_s if scenes[name].best == "direct" else 0.0  # where it cannot be, nobody waits
            watched[watchers.submit(meeting.wait_direct, longest_s)] = name
        for meeting in meetings.values() if seconds else ():
            meeting.start_roads()
        for direct in as_completed(watched):  # who is direct already is measured while the others are watched
            name = watched[direct]
            note(meetings[name], direct.result(), seconds, outcomes[name])
            progress(f"{name}: {' | '.join(outcomes[name].cells())}")


def note(meeting: Meeting, direct_s: float | None, seconds: int, outcomes: Outcomes) -> None:
    """The path that it is now, and how fast it is."""
    if direct_s is not None:
        outcomes.direct_s.append(direct_s)
    outcomes.paths.append(meeting.path())
    if not seconds or meeting.path() == "none":
        return
    outcomes.mbit["vpn"] += meeting.mbit(seconds)
    for road in ROADS:
        outcomes.mbit[road] += meeting.road_mbit(road, seconds)


def batches(scenes: Mapping[str, Scene], together: int) -> Iterator[dict[str, Scene]]:
    items = list(scenes.items())
    for first in range(0, len(items), together):
        yield dict(items[first : first + together])


def people_rows(outcomes: Mapping[str, Outcomes]) -> list[list[str]]:
    return [[name, PEOPLE[name].what, *found.cells(), PEOPLE[name].best] for name, found in outcomes.items()]


def kinds_rows(outcomes: Mapping[str, Outcomes]) -> list[list[str]]:
    """A row and a column for each kind: the path, and seconds until it was direct."""

    def cell(one: str, other: str) -> str:
        if not (found := outcomes.get(scene_of(one, other)) or outcomes.get(scene_of(other, one))):
            return ""
        return f"{found.path()} {spread(found.direct_s)}" if found.direct_s else found.path()

    return [[KINDS[one], *(cell(one, other) for other in KINDS)] for one in KINDS]


def written(
    page: str, mark: str, header: Sequence[str], rows: Sequence[Sequence[str]], order: Iterable[str]
) -> str:
    """The page with these rows in the table between the comments of that name.

    A row replaces the one with the same first cell; others in `order` stay. ValueError: no such comments.
    """
    begin, end = f"<!-- {mark} -->\n", f"<!-- end of {mark} -->"
    if begin not in page or end not in page:
        raise ValueError(f"the page has no place for {mark}")
    (head, rest), tail = page.split(begin), page.split(end)[1]
    lines = [
        line.strip("| ").split(" | ") for line in rest.split(end)[0].splitlines() if line.startswith("| ")
    ]
    kept = {cells[0]: cells for cells in lines[2:]} | {cells[0]: list(cells) for cells in rows}
    lines = [list(header), ["---"] * len(header), *(kept[name] for name in order if name in kept)]
    table = "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
    return f"{head}{begin}\n{table}\n\n{end}{tail}"


def main() -> None:
    given = arguments(__doc__, runs=3, watch=45.0, seconds=2, only=".", kinds=".", write=0)
    chosen = {name: scene for name, scene in PEOPLE.items() if given.only and re.search(given.only, name)}
    pairs = kinds_of(given.kinds) if given.kinds else {}
    outcomes = {name: Outcomes() for name in (*chosen, *pairs)}
    for _ in range(given.runs):
        for batch in batches(chosen, TOGETHER):
            measure(batch, given.watch, given.seconds, outcomes)
        for batch in batches(pairs, KINDS_TOGETHER):
            measure(batch, given.watch, 0, outcomes)
    rows = people_rows({name: outcomes[name] for name in chosen})
    header = [
        "network",
        "path",
        "connected, s",
        "direct, s",
        *(f"{way}, Mbit/s" for way in ("VPN", "fast road", "tuntox road")),
        "best",
    ]
    table(f"Networks, median of {given.runs}", header, [[name, *rest] for name, _, *rest in rows])
    crossed = kinds_rows({name: outcomes[name] for name in pairs})
    if pairs:
        table("Kinds of NAT, each with each; seconds until direct", ["", *KINDS.values()], crossed)
    if given.write:
        page = written(PAGE.read_text(), "people", ["network", "what it is", *header[1:]], rows, PEOPLE)
        if given.kinds == ".":
            page = written(page, "kinds", ["one side", *KINDS.values()], crossed, KINDS.values())
        PAGE.write_text(page)


if __name__ == "__main__":
    main()
