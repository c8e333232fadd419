"""Decides which of the networks that peers offer are used, and why the others are not. Pure.

In: what each peer offers (any networks: nothing of it is believed) and what a person here has granted it;
the networks that this machine uses otherwise. Out: the used ones with their peers, and a reason for each
that is granted and not used. Neighbours: `routes` puts the decision in force, `other_networks` finds
what this machine uses.

The rules:

1. A network is used only where offer and grant meet: of two that overlap, the smaller one.
2. A grant of "all" covers private networks only. A public one, through which a peer could take in what is
   meant for others, has to be named.
3. Nothing that this machine uses otherwise goes to a peer: neither a network that contains it, nor a part.
4. Granted by name goes before "all", a longer prefix before a shorter one, then the smaller key. Of two
   networks granted by name one may lie in the other, for a person wants that: the longer prefix has its
   addresses. What "all" covers must not overlap another peer's at all.
"""

import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from ...wire.routegrant import NO_ROUTES, RouteGrant, unusable
from ...wire.routes import IPNetwork

MOST_ROUTES = 32
"""Of a peer, with "all"."""


@dataclass(frozen=True, slots=True)
class Offer:
    """`name` is what a person here calls the peer. `offered` is what it states, so any networks."""

    name: str
    offered: tuple[IPNetwork, ...] = ()
    granted: RouteGrant = NO_ROUTES


@dataclass(frozen=True, slots=True)
class OtherNetwork:
    """A network that this machine uses otherwise; `what` is for messages, e.g. "a route through eth0"."""

    network: IPNetwork
    what: str


@dataclass(frozen=True, slots=True)
class Decision:
    """`used`: each network and the key of its peer. `refused`: by key, the reasons for a person."""

    used: dict[IPNetwork, bytes] = field(default_factory=dict)
    refused: dict[bytes, dict[IPNetwork, str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Candidate:
    network: IPNetwork
    public_key: bytes
    named: bool

    def precedence(self) -> tuple[bool, int, bytes]:
        return not self.named, -self.network.prefixlen, self.public_key


def decide(offers: Mapping[bytes, Offer], others: Iterable[OtherNetwork]) -> Decision:
    """`offers` by public key. Where several of `others` overlap a network, the largest is named."""
    decision = Decision()
    avoided = sorted(others, key=lambda other: other.network.prefixlen)
    candidates = [each for key, offer in offers.items() for each in _candidates(key, offer, decision)]
    for candidate in sorted(candidates, key=_Candidate.precedence):
        network = candidate.network
        reason = _unfit(candidate, avoided) or _taken(candidate, decision, offers)
        if reason is None:
            decision.used.setdefault(network, candidate.public_key)
        else:
            decision.refused.setdefault(candidate.public_key, {})[network] = reason
    return decision


def _candidates(public_key: bytes, offer: Offer, decision: Decision) -> Iterator[_Candidate]:
    if offer.granted == "all":
        for network in offer.offered[:MOST_ROUTES]:
            yield _Candidate(network, public_key, named=False)
        for network in offer.offered[MOST_ROUTES:]:
            reason = f'it offers more than {MOST_ROUTES} networks, and "all" covers no more'
            decision.refused.setdefault(public_key, {})[network] = reason
        return
    pairs = itertools.product(offer.granted, offer.offered)
    met = dict.fromkeys(found for pair in pairs if (found := _meet(*pair)) is not None)
    yield from (_Candidate(network, public_key, named=True) for network in met)


def _meet(granted: IPNetwork, offered: IPNetwork) -> IPNetwork | None:
    """The addresses in both."""
    if granted.version != offered.version or not granted.overlaps(offered):
        return None
    if granted.prefixlen > offered.prefixlen:
        return granted
    return offered


def _unfit(candidate: _Candidate, avoided: Iterable[OtherNetwork]) -> str | None:
    network = candidate.network
    if (reason := unusable(network)) is not None:
        return reason
    if not candidate.named and network.is_global:
        return 'it is a public network, which "all" does not cover: name it'
    for other in avoided:
        if _overlap(network, other.network):
            return f"it overlaps {other.network}, {other.what}"
    return None


def _taken(candidate: _Candidate, decision: Decision, offers: Mapping[bytes, Offer]) -> str | None:
    for network, owner in decision.used.items():
        if owner == candidate.public_key:
            continue
        if network == candidate.network or (not candidate.named and _overlap(network, candidate.network)):
            return f"it overlaps {network}, which is reached through {offers[owner].name}"
    return None


def _overlap(one: IPNetwork, other: IPNetwork) -> bool:
    return one.version == other.version and one.overlaps(other)
