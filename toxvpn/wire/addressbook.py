"""Who has which IPv4 address on the network, when two want the same.

In: the address that each peer states (its status message, so any value); out: our own address, the
ones accepted from peers, and the refused ones with the reason. Nobody is asked and nobody answers:
each node decides by itself, from public keys and from what its peers state, and two nodes that see
the same collision decide alike. Neighbour: `addressing` (the candidates of a key).

The rules:

1. A *derived* address is a candidate of the key that states it; anything else was *chosen* by
   someone. A node may choose freely (--address, or the C++ toxvpn), but a chosen address never
   takes one away from anybody.
2. Of two keys with the same derived address, the numerically smaller one stays.
3. So a node moves on to its next free candidate when, and only when, a peer with a smaller key
   states the same address and it is derived. A requested address (--address) never moves.
4. Among peers: derived goes before chosen, then the smaller key, then (both chosen) who came first.
   Who loses has no IPv4 address here until it states another; its IPv6 address always works.
5. An address that is ours, or lies in a local network, or can be no host's is refused. So is a
   public one: a peer that states a name server's address must not get what is meant for that.

Why this cannot go in circles: only smaller keys move a node. The node with the smallest key never
moves. Once all smaller keys have come to rest, a node that avoids their addresses has no reason to
move again; so, key by key, all come to rest. In between no decision waits for an answer.

Rule 4 is where nodes see different peers: two peers of ours that do not know each other may keep
the same address, and we settle it for ourselves, always in the same way.

What rules 1 and 4 cost an attacker: to take the IPv4 address of a peer he must be a peer of ours
himself, with a key that he searched for (some millions of tries). He never gets the IPv6 address.
"""

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network

from toxvpn.wire.addressing import (
    RANGES,
    free_ranges,
    ipv4_candidates,
    is_host_address,
    is_ipv4_candidate,
)


class Refused(StrEnum):
    """Why a peer's stated IPv4 address is not used."""

    NO_HOST = "no host can have it"
    OURS = "it is this machine's own"
    LOCAL = "it lies in a local network"
    PUBLIC = "it is a public one"
    TAKEN = "it is another peer's"


@dataclass(frozen=True, slots=True)
class Settlement:
    """The state of the addresses; `own` is None when every candidate is taken (IPv6 still works)."""

    own: IPv4Address | None
    accepted: dict[bytes, IPv4Address]
    refused: dict[bytes, Refused]


class AddressBook:
    """What every peer states, by public key, and the settlement that follows.

    `requested` is the address that the user insists on; without it the first free candidate of
    `own_key` outside `local` is taken. `local` are the networks of this machine's other interfaces.
    """

    def __init__(
        self,
        own_key: bytes,
        *,
        requested: IPv4Address | None = None,
        local: Collection[IPv4Network] = (),
        ranges: Collection[IPv4Network] = RANGES,
    ) -> None:
        self._own_key = own_key
        self._requested = requested
        self._local = tuple(local)
        self._all_ranges = ranges
        self._ranges = free_ranges(self._local, ranges)
        self._stated: dict[bytes, IPv4Address] = {}
        self._own = requested or self._next_candidate()

    def state_untrusted(self, public_key: bytes, address: IPv4Address | None) -> Settlement:
        """The peer states this address, or (None) that it has none."""
        if self._stated.get(public_key) != address:
            self._stated.pop(public_key, None)  # a new claim queues up behind the others
            if address is not None:
                self._stated[public_key] = address
        return self.settle()

    def forget(self, public_key: bytes) -> Settlement:
        """The peer is no longer one; while it is only offline, it keeps its address."""
        self._stated.pop(public_key, None)
        return self.settle()

    def settle(self) -> Settlement:
        if self._must_move():
            self._own = self._next_candidate()
        accepted: dict[bytes, IPv4Address] = {}
        refused: dict[bytes, Refused] = {}
        for public_key, address in sorted(self._stated.items(), key=self._precedence):
            reason = self._objection(address)
            if reason is None and address in accepted.values():
                reason = Refused.TAKEN
            if reason is None:
                accepted[public_key] = address
            else:
                refused[public_key] = reason
        return Settlement(self._own, accepted, refused)

    def _must_move(self) -> bool:
        if self._requested is not None:
            return False
        return self._own is None or any(
            address == self._own and public_key < self._own_key and self._is_derived(public_key, address)
            for public_key, address in self._stated.items()
        )

    def _next_candidate(self) -> IPv4Address | None:
        """The first that no peer states, whatever its key: landing on a larger key would move that one."""
        stated = set(self._stated.values())
        candidates = ipv4_candidates(self._own_key, self._ranges)
        return next((address for address in candidates if address not in stated), None)

    def _precedence(self, claim: tuple[bytes, IPv4Address]) -> tuple[bool, bytes]:
        """Sorts by rule 4; sorting is stable and the claims are in the order of their arrival."""
        derived = self._is_derived(*claim)
        return not derived, claim[0] if derived else b""

    def _objection(self, address: IPv4Address) -> Refused | None:
        if not is_host_address(address):
            return Refused.NO_HOST
        if address == self._own:
            return Refused.OURS
        if any(address in network for network in self._local):
            return Refused.LOCAL
        return Refused.PUBLIC if address.is_global else None

    def _is_derived(self, public_key: bytes, address: IPv4Address) -> bool:
        return is_ipv4_candidate(public_key, address, self._all_ranges)
