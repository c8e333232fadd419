"""Who has which IPv4 address on the network, when two want the same.

In: the addresses that each peer states (its status message, so any values), what this machine uses
without us, what a person here allows; out: our own addresses, the ones accepted from peers, and the
refused ones with the reason. Nobody is asked and nobody answers: each node decides by itself, from
public keys and from what its peers state, and two nodes that see the same collision decide alike.
Neighbour: `addressing` (the candidates of a key).

The rules:

1. A *derived* address is a candidate of the key that states it; anything else was *chosen* by
   someone (--address, or the C++ toxvpn). A derived one is believed. A chosen one may be that of the
   router we will sit behind tomorrow, so it takes a yes from a person here (`Consent`); and it never
   takes an address away from anybody.
2. Of two keys with the same derived address, the numerically smaller one stays.
3. So a node moves on to its next free candidate when, and only when, a peer with a smaller key
   states the same address and it is derived. A requested address (--address) never moves.
4. Among peers: derived goes before chosen, then the smaller key, then (both chosen) who came first.
   Who loses has no IPv4 address here until it states another; its IPv6 address always works.
5. What this machine uses without us goes before everything, also what it uses only since a moment
   ago: no address of a local network, of a route, of a name server is ours or a peer's. Nor is a
   public one, which no yes changes: it may be anybody's.

Why this cannot go in circles: only smaller keys move a node. The node with the smallest key never
moves. Once all smaller keys have come to rest, a node that avoids their addresses has no reason to
move again; so, key by key, all come to rest. In between no decision waits for an answer.

Rule 4 is where nodes see different peers: two peers of ours that do not know each other may keep
the same address, and we settle it for ourselves, always in the same way.

What rules 1 and 4 cost an attacker: to take the IPv4 address of a peer he must be a peer of ours
himself, with a key that he searched for (some millions of tries). He never gets the IPv6 address.

Ranges. A node has its address in the first range in which nothing local lies. Where one node cannot
use a range that another is in (a carrier's NAT, Tailscale), they would not reach each other. So
whoever sees a peer whose first address is in another range than its own takes an address in *every*
range, and states them all: the two then meet in any range that both can use. Ranges in which
something local lies come last; an address that is not itself local still works there for connections
from before. Once taken, they stay, so that what uses them lives on. Others do not follow, because
they look at first addresses only.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network

from .addressing import (
    RANGES,
    NetworkSet,
    free_ranges,
    ipv4_candidates,
    is_host_address,
    is_ipv4_candidate,
    range_of,
)


class Refused(StrEnum):
    """Why a peer's stated IPv4 address is not used."""

    NO_HOST = "no host can have it"
    OURS = "it is this machine's own"
    LOCAL = "this machine uses it otherwise: a local network, a route or a name server"
    PUBLIC = "it is a public one"
    TAKEN = "it is another peer's"
    CHOSEN = "it does not follow from the peer's key"


@dataclass(frozen=True, slots=True)
class Consent:
    """Which chosen addresses a person here has said yes to.

    `addresses`: by public key; an address named for one peer is no other one's. `network` is given to
    the VPN as a whole (--address with its prefix): there, who comes first has an address.
    """

    addresses: Mapping[bytes, IPv4Address] = field(default_factory=dict)
    network: IPv4Network | None = None

    def covers(self, public_key: bytes, address: IPv4Address) -> bool:
        if address in self.addresses.values():
            return self.addresses.get(public_key) == address
        network = self.network
        if network is None or address not in network:
            return False
        # both of a /31 are hosts (RFC 3021)
        return network.prefixlen == 31 or address not in (network[0], network[-1])


@dataclass(frozen=True, slots=True)
class Settlement:
    """The state of the addresses.

    `own`: the first is what we are known by; empty when none can be had (IPv6 still works), and then
    nobody else has one. `accepted`: of each peer, in order of preference, its addresses and which of
    ours to send there from. `refused`: why a peer has none, though it states one.
    """

    own: tuple[IPv4Address, ...]
    accepted: dict[bytes, dict[IPv4Address, IPv4Address]]
    refused: dict[bytes, Refused]


@dataclass(frozen=True, slots=True)
class _Claim:
    public_key: bytes
    address: IPv4Address
    derived: bool

    def precedence(self) -> tuple[bool, bytes]:
        """Sorts by rule 4, stably: claims are in the order of their arrival."""
        return not self.derived, self.public_key if self.derived else b""


class AddressBook:
    """What every peer states, by public key, and the settlement that follows.

    `requested` is the address that the user insists on; without it the first free candidate of
    `own_key` is taken.
    """

    def __init__(
        self,
        own_key: bytes,
        *,
        requested: IPv4Address | None = None,
        local: Collection[IPv4Network] = (),
        consent: Consent = Consent(),
        ranges: Sequence[IPv4Network] = RANGES,
    ) -> None:
        self._own_key = own_key
        self._requested = requested
        self._consent = consent
        self._ranges = ranges
        self._stated: dict[bytes, tuple[_Claim, ...]] = {}
        self._own: dict[IPv4Network, IPv4Address] = {}
        self._in_every_range = False
        self.look(local)

    def state_untrusted(self, public_key: bytes, addresses: Sequence[IPv4Address]) -> Settlement:
        """The peer states these, its first one and others derived from its key; or none."""
        claims = self._claims(public_key, addresses)
        if self._stated.get(public_key, ()) != claims:
            self._stated.pop(public_key, None)  # a new claim queues up behind the others
            if claims:
                self._stated[public_key] = claims
        return self.settle()

    def forget(self, public_key: bytes) -> Settlement:
        """The peer is no longer one; while it is only offline, it keeps its addresses."""
        self._stated.pop(public_key, None)
        return self.settle()

    def allow(self, consent: Consent) -> Settlement:
        self._consent = consent
        return self.settle()

    def look(self, local: Collection[IPv4Network], apart: Collection[IPv4Network] = ()) -> Settlement:
        """What this machine uses now. `apart`: networks that leave the rest of their range to us."""
        self._local = NetworkSet([*local, *apart])
        self._free = free_ranges(local, self._ranges)
        return self.settle()

    def settle(self) -> Settlement:
        self._own = self._settle_own() if self._requested is None else {}
        own = tuple(self._own.values())
        if self._requested is not None and self._requested not in self._local:
            own = (self._requested,)
        accepted: dict[bytes, dict[IPv4Address, IPv4Address]] = {}
        refused: dict[bytes, Refused] = {}
        if own:
            winners: dict[IPv4Address, bytes] = {}
            claims = [claim for claims in self._stated.values() for claim in claims]
            for claim in sorted(claims, key=_Claim.precedence):
                reason = Refused.TAKEN if claim.address in winners else self._objection(claim, own)
                if reason is None:
                    winners[claim.address] = claim.public_key
                else:
                    refused.setdefault(claim.public_key, reason)
            accepted = self._accepted(winners, own)
        return Settlement(own, accepted, {key: why for key, why in refused.items() if key not in accepted})

    def _claims(self, public_key: bytes, addresses: Sequence[IPv4Address]) -> tuple[_Claim, ...]:
        claims = [
            _Claim(public_key, address, self._is_derived(public_key, address))
            for address in dict.fromkeys(addresses[: len(self._ranges)])
        ]
        return (*claims[:1], *(claim for claim in claims[1:] if claim.derived))

    # -- ours

    def _settle_own(self) -> dict[IPv4Network, IPv4Address]:
        own: dict[IPv4Network, IPv4Address] = {}
        crowded = (network for network in self._ranges if network not in self._free)
        for network in (*self._free, *crowded):
            if own and not self._wanted_everywhere(next(iter(own))):
                break
            if (address := self._candidate(network)) is not None:
                own[network] = address
        return own

    def _wanted_everywhere(self, first_range: IPv4Network) -> bool:
        self._in_every_range = self._in_every_range or any(
            claims[0].derived and claims[0].address not in first_range for claims in self._stated.values()
        )
        return self._in_every_range

    def _candidate(self, network: IPv4Network) -> IPv4Address | None:
        """The one we have, or the first that no peer states: landing on a larger key would move that one."""
        held = self._own.get(network)
        if held is not None and held not in self._local and not self._must_yield(held):
            return held
        stated = {claim.address for claims in self._stated.values() for claim in claims}
        candidates = ipv4_candidates(self._own_key, [network])
        return next((each for each in candidates if each not in stated and each not in self._local), None)

    def _must_yield(self, own: IPv4Address) -> bool:
        return any(
            claim.address == own and claim.derived and claim.public_key < self._own_key
            for claims in self._stated.values()
            for claim in claims
        )

    # -- the peers'

    def _objection(self, claim: _Claim, own: tuple[IPv4Address, ...]) -> Refused | None:
        if not is_host_address(claim.address):
            return Refused.NO_HOST
        if claim.address in own:
            return Refused.OURS
        if claim.address in self._local:
            return Refused.LOCAL
        if claim.address.is_global:
            return Refused.PUBLIC
        if claim.derived or self._consent.covers(claim.public_key, claim.address):
            return None
        return Refused.CHOSEN

    def _accepted(
        self, winners: Mapping[IPv4Address, bytes], own: tuple[IPv4Address, ...]
    ) -> dict[bytes, dict[IPv4Address, IPv4Address]]:
        """As the peer orders them, but those last that lie in a range which is not free here."""
        accepted = {}
        for public_key, claims in self._stated.items():
            addresses = [each.address for each in claims if winners.get(each.address) == public_key]
            if addresses:
                addresses.sort(key=self._is_crowded)
                accepted[public_key] = {each: self._source(each, own) for each in addresses}
        return accepted

    def _is_crowded(self, address: IPv4Address) -> bool:
        network = range_of(address, self._ranges)
        return network is not None and network not in self._free

    def _source(self, address: IPv4Address, own: tuple[IPv4Address, ...]) -> IPv4Address:
        """Ours in the same range: a peer that takes ours for local in another takes it here."""
        network = range_of(address, self._ranges)
        return own[0] if network is None else self._own.get(network, own[0])

    def _is_derived(self, public_key: bytes, address: IPv4Address) -> bool:
        return is_ipv4_candidate(public_key, address, self._ranges)
