"""Decides who has which IPv4 address on the network, also when two peers want the same one.

In: the addresses that each peer states (in its status message, so any values), the networks that this machine
uses without us, the addresses that the configuration allows; out: our own addresses, those accepted from
peers, and a reason for each refused one. There is no negotiation: each node decides by itself, from public
keys and from what its peers state, and two nodes that see the same collision decide alike. Neighbour:
`addressing` (the candidates of a key).

The rules:

1. An address is *derived* if it is a candidate of the key that states it, and otherwise *chosen* by somebody
   (--address, or the C++ toxvpn). A derived address is accepted. A chosen one may be that of the router we
   will sit behind tomorrow, so the configuration must allow it (`AllowedAddresses`); and it never takes an
   address away from another peer.
2. Of two keys with the same derived address, the numerically smaller one keeps it.
3. So a node moves on to its next free candidate when, and only when, a peer with a smaller key states the
   same address and it is derived. A requested address (--address) never moves for a peer.
4. Among peers, a derived address goes before a chosen one, then the smaller key wins, then (both chosen) the
   peer that came first. The loser has no IPv4 address here until it states another one; its IPv6 address
   always works.
5. The networks that this machine uses without us go before everything, new ones too: no address of a local
   network, a route or a name server is ours or a peer's. Nor is a public address, even if it is allowed: it
   belongs to somebody else.

This ends, because only smaller keys make a node move. The node with the smallest key never moves. Once all
nodes with smaller keys have stopped moving, a node that avoids their addresses has no reason to move again;
so, key by key, all of them stop. No decision waits for an answer.

A peer that has not stated anything yet, because it has not been online since our start, is *presumed* to have
its usual address, unless somebody else states that one: what programs here still send to the peer must find a
way into the VPN, or it would leave by the default route. Nobody moves, and nobody loses an address for that.

Under rule 4, nodes may see different peers: two peers of ours that do not know each other may keep the same
address. Then we decide for ourselves, always in the same way.

What rules 1 and 4 cost an attacker: to take a peer's IPv4 address, he must be a peer of ours himself, with a
key that he has searched for (some millions of tries). He never gets the IPv6 address.

Ranges. A node has its address in the first range that no local network overlaps. If one node cannot use the
range that another one is in (because of a carrier's NAT, or Tailscale), they would not reach each other. So a
node that sees a peer whose first address is in another range takes an address in *every* range, and states
them all: the two then meet in any range that both can use. Ranges that a local network overlaps come last; an
address there that is not itself local still works for connections from before. Once taken, addresses stay, so
that connections over them live on. Other nodes do not follow, because they look at first addresses only. A
requested address does not move, but in a network that has become local it is replaced by a derived one.
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


class AddressRefusal(StrEnum):
    """The reason why a peer's stated IPv4 address is not used."""

    NO_HOST = "it cannot be a host's address"
    OURS = "it is this machine's own"
    LOCAL = "this machine uses it for something else: a local network, a route or a name server"
    PUBLIC = "it is a public address"
    TAKEN = "it is another peer's"
    CHOSEN = "it is not derived from the peer's key"


@dataclass(frozen=True, slots=True)
class AllowedAddresses:
    """The chosen addresses that the configuration allows.

    `addresses`: by public key; no other peer may have one of these. In `network`, which belongs to the VPN as
    a whole (--address with a prefix length), any peer may have any address that is free.
    """

    addresses: Mapping[bytes, IPv4Address] = field(default_factory=dict)
    network: IPv4Network | None = None

    def allows(self, public_key: bytes, address: IPv4Address) -> bool:
        if address in self.addresses.values():
            return self.addresses.get(public_key) == address
        network = self.network
        if network is None or address not in network:
            return False
        # both of a /31 are hosts (RFC 3021)
        return network.prefixlen == 31 or address not in (network[0], network[-1])


@dataclass(frozen=True, slots=True)
class Assignment:
    """The IPv4 addresses in use: ours and each peer's.

    `own`: the main one first; empty when all are taken (IPv6 still works), and then peers have none either.
    `accepted`: each peer's addresses, the preferred one first, with our own address to send from.
    `refused`: why a peer has no address, though it states one.
    `presumed`: as `accepted`, of peers that have not stated anything yet.
    """

    own: tuple[IPv4Address, ...]
    accepted: dict[bytes, dict[IPv4Address, IPv4Address]]
    refused: dict[bytes, AddressRefusal]
    presumed: dict[bytes, dict[IPv4Address, IPv4Address]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Claim:
    public_key: bytes
    address: IPv4Address
    derived: bool

    def precedence(self) -> tuple[bool, bytes]:
        """The sort key of rule 4; the sort is stable, so that earlier claims stay first."""
        return not self.derived, self.public_key if self.derived else b""


class AddressBook:
    """Keeps what each peer states, and assigns addresses accordingly.

    `requested` is the address of --address; without it, and while it is in a local network, we have the first
    free candidate of `own_key`.
    """

    def __init__(
        self,
        own_key: bytes,
        *,
        requested: IPv4Address | None = None,
        local: Collection[IPv4Network] = (),
        allowed: AllowedAddresses = AllowedAddresses(),
        ranges: Sequence[IPv4Network] = RANGES,
    ) -> None:
        self._own_key = own_key
        self._requested = requested
        self._allowed = allowed
        self._ranges = ranges
        self._stated: dict[bytes, tuple[_Claim, ...]] = {}
        self._silent: set[bytes] = set()
        """Peers that have not stated anything yet."""
        self._own: dict[IPv4Network, IPv4Address] = {}
        self._in_every_range = False
        self.set_local(local)

    def state_untrusted(self, public_key: bytes, addresses: Sequence[IPv4Address]) -> Assignment:
        """The peer states these: any first one, and others derived from its key; or no address at all."""
        self._silent.discard(public_key)
        claims = self._claims(public_key, addresses)
        if self._stated.get(public_key, ()) != claims:
            self._stated.pop(public_key, None)  # a new claim queues up behind the others
            if claims:
                self._stated[public_key] = claims
        return self.assign()

    def presume(self, *public_keys: bytes) -> Assignment:
        """The peers will hardly state other addresses than their usual ones."""
        self._silent.update(key for key in public_keys if key not in self._stated)
        return self.assign()

    def forget(self, public_key: bytes) -> Assignment:
        """Removes a peer. One that is only offline keeps its addresses."""
        self._silent.discard(public_key)
        self._stated.pop(public_key, None)
        return self.assign()

    def allow(self, allowed: AllowedAddresses) -> Assignment:
        self._allowed = allowed
        return self.assign()

    def set_local(self, local: Collection[IPv4Network], isolated: Collection[IPv4Network] = ()) -> Assignment:
        """The networks that this machine uses now; `isolated` ones leave the rest of their range to us."""
        self._local = NetworkSet([*local, *isolated])
        self._free = free_ranges(local, self._ranges)
        return self.assign()

    def assign(self) -> Assignment:
        self._own = {} if self._requested_usable else self._assign_own()
        own = tuple(self._own.values())
        if self._requested is not None and self._requested_usable:
            own = (self._requested,)
        accepted: dict[bytes, dict[IPv4Address, IPv4Address]] = {}
        refused: dict[bytes, AddressRefusal] = {}
        presumed: dict[bytes, dict[IPv4Address, IPv4Address]] = {}
        if own:
            winners: dict[IPv4Address, bytes] = {}
            claims = [claim for claims in self._stated.values() for claim in claims]
            for claim in sorted(claims, key=_Claim.precedence):
                reason = AddressRefusal.TAKEN if claim.address in winners else self._refusal(claim, own)
                if reason is None:
                    winners[claim.address] = claim.public_key
                else:
                    refused.setdefault(claim.public_key, reason)
            accepted = self._accepted(winners, own)
            presumed = self._presumed(winners, own)
        refused = {key: why for key, why in refused.items() if key not in accepted}
        return Assignment(own, accepted, refused, presumed)

    def _claims(self, public_key: bytes, addresses: Sequence[IPv4Address]) -> tuple[_Claim, ...]:
        claims = [
            _Claim(public_key, address, self._is_derived(public_key, address))
            for address in dict.fromkeys(addresses[: len(self._ranges)])
        ]
        return (*claims[:1], *(claim for claim in claims[1:] if claim.derived))

    # -- ours

    @property
    def _requested_usable(self) -> bool:
        return self._requested is not None and self._requested not in self._local

    def _assign_own(self) -> dict[IPv4Network, IPv4Address]:
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
        """The one we have, or the first that no peer states: a stated one may make its owner move."""
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

    def _refusal(self, claim: _Claim, own: tuple[IPv4Address, ...]) -> AddressRefusal | None:
        if not is_host_address(claim.address):
            return AddressRefusal.NO_HOST
        if claim.address in own:
            return AddressRefusal.OURS
        if claim.address in self._local:
            return AddressRefusal.LOCAL
        if claim.address.is_global:
            return AddressRefusal.PUBLIC
        if claim.derived or self._allowed.allows(claim.public_key, claim.address):
            return None
        return AddressRefusal.CHOSEN

    def _accepted(
        self, winners: Mapping[IPv4Address, bytes], own: tuple[IPv4Address, ...]
    ) -> dict[bytes, dict[IPv4Address, IPv4Address]]:
        """In the peer's order, but addresses in ranges that are not free here come last."""
        accepted = {}
        for public_key, claims in self._stated.items():
            addresses = [each.address for each in claims if winners.get(each.address) == public_key]
            if addresses:
                addresses.sort(key=self._is_crowded)
                accepted[public_key] = {each: self._source(each, own) for each in addresses}
        return accepted

    def _presumed(
        self, winners: Mapping[IPv4Address, bytes], own: tuple[IPv4Address, ...]
    ) -> dict[bytes, dict[IPv4Address, IPv4Address]]:
        """The allowed one, or the first of the row in our range. It takes nothing from anybody."""
        found: dict[IPv4Address, bytes] = {}
        for public_key in sorted(self._silent):
            usual = ipv4_candidates(public_key, self._free[:1])
            address = self._allowed.addresses.get(public_key) or next(usual, None)
            if address is not None and address not in winners:
                claim = _Claim(public_key, address, self._is_derived(public_key, address))
                if self._refusal(claim, own) is None:
                    found.setdefault(address, public_key)
        return {key: {address: self._source(address, own)} for address, key in found.items()}

    def _is_crowded(self, address: IPv4Address) -> bool:
        network = range_of(address, self._ranges)
        return network is not None and network not in self._free

    def _source(self, address: IPv4Address, own: tuple[IPv4Address, ...]) -> IPv4Address:
        """Our address in the same range: in another one, the peer may take ours for local, and drop it."""
        network = range_of(address, self._ranges)
        return own[0] if network is None else self._own.get(network, own[0])

    def _is_derived(self, public_key: bytes, address: IPv4Address) -> bool:
        return is_ipv4_candidate(public_key, address, self._ranges)
