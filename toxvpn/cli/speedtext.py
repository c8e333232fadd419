"""The words of `toxvpn speed`.

In: the document of a result (tcpforward/speed/result.py), or of a moment. Out: lines for a person.
"""

from collections.abc import Mapping
from typing import Any

from ..share.messages import harmless
from .table import path_word, round_trip

Document = Mapping[str, Any]

BLOAT = (
    (0.005, "hardly any bufferbloat"),
    (0.030, "little bufferbloat: calls and games do not notice"),
    (0.100, "some bufferbloat: games notice when something is transferred"),
    (0.300, "much bufferbloat: calls suffer while something is transferred"),
    (float("inf"), "heavy bufferbloat: whatever a person waits for is slow while something is transferred"),
)
"""What it means that a round trip takes less than so much longer under load, in seconds."""
PINNED = "--road tuntox"
"""The reason for a road that a person chose."""
PHASES = {
    "connecting": "waiting for {name} …",
    "relayed": "{name} is reached over a relay; looking for a direct path …",
    "idle": "measuring the round trip to {name} …",
}


def live(told: Document, name: str) -> str:
    """What is going on, in a line."""
    phase = str(told["phase"])
    if phase in PHASES:
        return PHASES[phase].format(name=name)
    way = "down from" if phase == "down" else "up to"
    return f"{way} {name}: {rate(told.get('bits_per_second', 0))} …"


def text(result: Document, name: str) -> str:
    """The result in a few lines."""
    road, why = result["road"], harmless(str(result["road_reason"]))
    because = "" if road == "fast" else f" ({why})"
    at = f" ({harmless(result['address'])})" if result["address"] else ""
    lines = [
        f"{name}: {path_word(result['path'])}{at}, by the {road} road{because}",
        f"idle  {trips(result['idle'])}",
        f"down  {rate(result['down']['bits_per_second'])}, {trips(result['down'])}",
        f"up    {rate(result['up']['bits_per_second'])}, {trips(result['up'])}",
        bloat(result),
        loss(result),
    ]
    if result["path_changed"]:
        lines.append("the path changed during the test: run it again")
    elif result["path"] == "tcp-relay":
        lines.append(f"a relay is slow: `toxvpn doctor {name}` says why there is no direct path")
    elif road == "tuntox" and why != PINNED:
        lines.append("the tuntox road is slow: `toxvpn doctor` says what a machine lacks for the fast one")
    return "\n".join(lines)


def rate(bits_per_second: float) -> str:
    """Three digits, in Mbit/s."""
    value = bits_per_second / 1e6
    digits = 0 if value >= 99.95 else 1 if value >= 9.995 else 2
    return f"{value:.{digits}f} Mbit/s"


def trips(part: Document) -> str:
    if part["rtt_p50_seconds"] is None:
        return "no round trip was finished"
    usual, worst = round_trip(part["rtt_p50_seconds"]), round_trip(part["rtt_worst_seconds"])
    return f"round trip {usual}, at worst {worst}"


def bloat(result: Document) -> str:
    """How much longer a round trip takes under load, and what that means."""
    idle_s = result["idle"]["rtt_p50_seconds"]
    loaded_s = [each for way in ("down", "up") if (each := result[way]["rtt_p50_seconds"]) is not None]
    if idle_s is None or not loaded_s:
        return "under load no round trip was finished: very heavy bufferbloat"
    longer_s = max(max(loaded_s) - idle_s, 0.0)
    meaning = next(words for limit_s, words in BLOAT if longer_s < limit_s)
    return f"under load a round trip takes {round_trip(longer_s)} longer: {meaning}"


def loss(result: Document) -> str:
    """Which part got lost, and how that is known."""
    known = []
    if result["probe_loss"] is not None:
        known.append(f"{share(result['probe_loss'])} of the latest probes of the path")
    counts = [
        (result[way]["tcp_segments"], result[way]["tcp_segments_resent"], way) for way in ("down", "up")
    ]
    if again := [f"{share(resent / sent)} {way}" for sent, resent, way in counts if sent]:
        known.append(f"sent again by TCP: {', '.join(again)}")
    return f"loss  {'; '.join(known) or 'not known on this road'}"


def share(part: float) -> str:
    """Part of a whole, in percent."""
    return "none" if part == 0 else "less than 0.01 %" if part < 0.0001 else f"{round(part * 100, 2):g} %"
