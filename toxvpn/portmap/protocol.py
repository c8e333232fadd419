"""What the three protocols have in common: each asks one router for one mapping."""

from collections import Counter
from dataclasses import dataclass
from typing import Protocol

from .gateway import Gateway


@dataclass(frozen=True, slots=True)
class GrantedPort:
    """UDP to `host`:`port`, which are the router's, comes to us for `lifetime_s`."""

    host: str
    port: int
    lifetime_s: float


class NotMappedError(Exception):
    """The router maps no port for us; the text says why."""


class NoAnswerError(Exception):
    """The router does not speak this protocol."""


class PortMapping(Protocol):
    """One mapping, which is asked for, renewed and taken back."""

    name: str

    async def ask(self, lifetime_s: int) -> GrantedPort:
        """Makes it, or makes it last for so long from now on.

        Raises NotMappedError, NoAnswerError, OSError.
        """
        ...

    async def release(self) -> None:
        """Takes it back. Raises as `ask`."""
        ...


@dataclass(frozen=True, slots=True)
class Asked:
    """What a mapping is made of: the router, our UDP port, and where drops are counted, by reason."""

    gateway: Gateway
    port: int
    drops: Counter[str]
