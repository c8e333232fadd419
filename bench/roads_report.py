"""The tables and goals of roads.py."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from .harness import median, percentile, spread, table
from .streams import MB, STREAM_BYTES, Crowd, Fetched

ROADS = ("fast", "tuntox")
SIZES_BYTES = (100_000, 1 * MB, 10 * MB, 100 * MB)
STREAMS = 1000
USER = "nobody"


@dataclass(slots=True)
class Figures:
    """Figures of one road in one scene."""

    rtt_ms: list[float] = field(default_factory=list)
    awake_rtt_ms: list[float] = field(default_factory=list)
    open_ms: list[float] = field(default_factory=list)
    fetched: dict[int, list[Fetched]] = field(default_factory=lambda: {size: [] for size in SIZES_BYTES})
    crowds: list[Crowd] = field(default_factory=list)


def report(scene: str, figures: dict[str, Figures]) -> None:
    fast, tuntox = (figures[road] for road in ROADS)
    goal_ms = 1.0 if scene == "plain" else None
    rows = [
        *latency("round trip", fast.rtt_ms, tuntox.rtt_ms, goal_ms),
        *latency("the same, processors awake,", fast.awake_rtt_ms, tuntox.awake_rtt_ms, goal_ms),
        *latency("open + first byte", fast.open_ms, tuntox.open_ms),
        *(fetches(scene, size, fast.fetched[size], tuntox.fetched[size]) for size in SIZES_BYTES),
        [
            f"{STREAMS} streams opened + {STREAM_BYTES // 1000} kB echoed by each, s",
            crowd(fast.crowds), crowd(tuntox.crowds), "", "",
        ],
    ]  # fmt: skip
    table(f"{scene}: -L as {USER} on both sides", ["", *ROADS, "sooner", "goal"], rows)


def latency(
    name: str, fast_ms: list[float], tuntox_ms: list[float], goal_ms: float | None = None
) -> list[list[str]]:
    rows = []
    for percent in (50, 99):
        fast, tuntox = (percentile(times_ms or [math.inf], percent) for times_ms in (fast_ms, tuntox_ms))
        goal = verdict(f"< {goal_ms:g}", fast < goal_ms) if goal_ms and percent == 50 else ""
        rows.append([f"{name} p{percent}, ms", f"{fast:.2f}", f"{tuntox:.2f}", times(tuntox / fast), goal])
    return rows


def fetches(scene: str, size: int, fast: list[Fetched], tuntox: list[Fetched]) -> list[str]:
    gain = median([one.s_per_mb for one in tuntox]) / median([one.s_per_mb for one in fast])
    goals = {("plain", 10 * MB): 40, ("1%", MB): 1000}
    goal = goals.get((scene, size))
    outcome = verdict(f">= {goal}x", gain >= goal) if goal else ""
    return [f"fetch {size / MB:g} MB, s", shown(fast), shown(tuntox), times(gain), outcome]


def report_vpn(runs: Sequence[dict[str, tuple[float, float]]]) -> None:
    rows = []
    for way in runs[0]:
        fast, vpn = ([run[way][which] for run in runs] for which in (0, 1))
        share = median(fast) / median(vpn)
        outcome = verdict(">= 0.75", share >= 0.75)
        rows.append([way, spread(fast, ".0f"), spread(vpn, ".0f"), f"{share:.2f}", outcome])
    table("One TCP flow between the same two hosts, Mbit/s", ["", "fast road", "VPN", "share", "goal"], rows)


def shown(fetched: list[Fetched]) -> str:
    """Seconds, or how much came until the limit."""
    if all(one.complete for one in fetched):
        return spread([one.seconds for one in fetched], ".3f")
    worst = min(fetched, key=lambda one: one.bytes)
    return f"{worst.bytes / MB:.2f} MB in {worst.seconds:.0f}"


def crowd(crowds: list[Crowd]) -> str:
    """Seconds until all were open, and until all had their bytes; or how many it was at the limit."""
    worst = min(crowds, key=lambda one: (one.answered, one.served))
    if worst.answered < worst.streams:
        return f"{worst.answered} open"
    opened = f"{median([one.answered_s for one in crowds]):.2f}"
    if worst.served < worst.streams:
        return f"{opened} + {worst.served} served"
    return f"{opened} + {median([one.served_s for one in crowds]):.2f}"


def times(figure: float) -> str:
    return f"{figure:.0f}x" if figure >= 10 else f"{figure:.1f}x"


def verdict(goal: str, met: bool) -> str:
    return f"{goal}: {'met' if met else 'MISSED'}"
