from typing import NamedTuple

class Hook(NamedTuple):
    in_force: bool
    reason: str

class Hooks(NamedTuple):
    sockets: Hook
    batch: Hook
    streams: Hook
    clock: Hook
    page_lock: Hook
    scratch: Hook
    crypto: Hook
    reunion: Hook
    detour: Hook
    punch: Hook
    quick: Hook

class DetourTraffic(NamedTuple):
    sent: int
    received: int
    asked: int
    sent_ago_s: float | None
    received_ago_s: float | None

def install(address: int, flawed: bool = False) -> Hooks: ...
def hooks() -> Hooks: ...
def kernel() -> str: ...
def shield() -> Hook | None: ...
def counters() -> dict[str, int]: ...
def detour_counters() -> dict[str, int]: ...
def harden() -> None: ...
