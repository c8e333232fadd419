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

def install(address: int, flawed: bool = False) -> Hooks: ...
def hooks() -> Hooks: ...
def kernel() -> str: ...
def shield() -> Hook | None: ...
def counters() -> dict[str, int]: ...
def harden() -> None: ...
