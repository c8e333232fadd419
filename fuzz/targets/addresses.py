"""The addresses that peers state: who gets which, whatever they say and wherever this machine is."""

from ipaddress import IPv4Address, IPv4Network, ip_network
from itertools import islice

from toxvpn.wire.addressbook import AddressBook, AllowedAddresses, Assignment
from toxvpn.wire.addressing import RANGES, ipv4_candidates

from ..target import Choices, target

OWN, *KEYS = (bytes([number]) * 32 for number in (100, 1, 2, 3, 200, 201))
NETWORKS: list[IPv4Network] = [*RANGES, ip_network("192.168.1.0/24"), ip_network("10.0.0.0/8")]  # type: ignore[list-item]


@target
def addresses(data: bytes) -> None:
    """No address is that of two, or of a local network; what is decided is decided alike again."""
    choices = Choices(data)
    requested = choices.pick((None, None, IPv4Address("10.9.8.7")))
    book = AddressBook(OWN, requested=requested)
    local: list[IPv4Network] = []
    while choices.left:
        match choices.below(9):
            case 0:
                local = [choices.pick(NETWORKS) for _ in range(choices.below(3))]
                book.set_local(local)
            case 1:
                book.forget(choices.pick(KEYS))
            case 2:
                book.allow(allowed(choices))
            case 8:
                book.presume(choices.pick(KEYS))
            case _:
                key = choices.pick(KEYS)
                book.state_untrusted(key, [stated(choices, key) for _ in range(choices.below(4))])
        found = book.assign()
        check(found, local)
        assert book.assign() == found


def stated(choices: Choices, key: bytes) -> IPv4Address:
    """One of the key's own, mostly."""
    if choices.below(4) == 0:
        return IPv4Address(choices.take(4).ljust(4, b"\1"))
    owner = choices.pick((key, key, OWN))
    candidates = ipv4_candidates(owner, [choices.pick(RANGES)])
    return list(islice(candidates, 3))[choices.below(3)]


def allowed(choices: Choices) -> AllowedAddresses:
    named = {choices.pick(KEYS): IPv4Address("10.9.8.9")} if choices.flag() else {}
    return AllowedAddresses(named, IPv4Network("10.9.8.0/24") if choices.flag() else None)


def check(found: Assignment, local: list[IPv4Network]) -> None:
    everybodys = {**found.accepted, **found.presumed}
    taken = [address for addresses in everybodys.values() for address in addresses]
    assert len(set(taken)) == len(taken)
    assert not set(found.own) & set(taken)
    assert set(found.accepted).isdisjoint({*found.refused, *found.presumed})
    for address in (*taken, *found.own):
        assert not address.is_global
        assert not any(address in network for network in local)
    for sources in everybodys.values():
        assert set(sources.values()) <= set(found.own)
