"""The zone tox.internal: which machine of the network has which name, and which addresses. Pure.

In: this machine and its peers, with what each is called by the person here, and by itself. Out: a name for
every machine that can have one, the addresses of a name, the name of an address. Neighbours: `label` (what
can be a name), `answer` (DNS messages), `hosts` (the same names as lines of /etc/hosts).

Who gets a name that two want: a peer that the person here has named comes before everybody else, for such a
name is what they type. What machines call themselves, this one included, comes after that, the smaller public
key first; so machines that see the same peers give them the same names. The others get a number: box-2.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from ipaddress import IPv4Address, IPv6Address, ip_address
from itertools import count

from .label import LabelRefusal, label_of, numbered

DOMAIN = "tox.internal"
"""Why this one: docs/decisions/0013-names.md."""

Address = IPv4Address | IPv6Address


@dataclass(frozen=True, slots=True)
class ZoneMember:
    """A machine of the network: `given` is its name here, `stated` (untrusted) what it calls itself.

    `addresses`: those under which it is reached from here, the preferred ones first.
    """

    public_key: bytes
    given: str | None = None
    stated: str = ""
    addresses: tuple[Address, ...] = ()


@dataclass(frozen=True)
class Zone:
    """`labels` and `refused` are by public key; `refused` says why a machine has none of its names."""

    labels: Mapping[bytes, str] = field(default_factory=dict)
    refused: Mapping[bytes, LabelRefusal] = field(default_factory=dict)
    addresses: Mapping[str, tuple[Address, ...]] = field(default_factory=dict)

    @classmethod
    def of(cls, machines: Iterable[ZoneMember]) -> "Zone":
        known = list(machines)
        wanted, refused = _wanted(known)
        labels = _unique(wanted)
        addresses = {labels[each.public_key]: each.addresses for each in known if each.public_key in labels}
        return cls(labels, refused, addresses)

    def full_name(self, public_key: bytes) -> str | None:
        label = self.labels.get(public_key)
        return None if label is None else full_name(label)

    @cached_property
    def names(self) -> Mapping[Address, str]:
        """The whole names of addresses."""
        return {each: full_name(label) for label, several in self.addresses.items() for each in several}

    def lines(self) -> Iterator[str]:
        """The zone as lines of hosts(5), sorted. Whole names only: `box` alone may mean another machine."""
        for label, addresses in sorted(self.addresses.items()):
            yield from (f"{address} {full_name(label)}" for address in addresses)


def full_name(label: str) -> str:
    return f"{label}.{DOMAIN}"


def bare_label(name: str) -> str:
    """`box` for both `box` and `Box.tox.internal.`, in lower case."""
    return name.lower().removesuffix(".").removesuffix(f".{DOMAIN}")


def reversed_address(name: str) -> Address | None:
    """The address of a whole reverse name (RFC 1035 §3.5, RFC 3596 §2.5); None for all other names."""
    labels = name.lower().removesuffix(".").split(".")
    backwards = labels[-3::-1]
    try:
        match labels[-2:]:
            case ["in-addr", "arpa"] if len(backwards) == 4:
                return IPv4Address(".".join(backwards))
            case ["ip6", "arpa"] if len(backwards) == 32 and all(len(digit) == 1 for digit in backwards):
                return IPv6Address(bytes.fromhex("".join(backwards)))
    except ValueError:
        pass
    return None


def reverse_name(address: Address | str) -> str:
    return ip_address(address).reverse_pointer


def _wanted(machines: list[ZoneMember]) -> tuple[dict[bytes, str], dict[bytes, LabelRefusal]]:
    """The labels in the order in which they are given away, and the refused ones."""
    first: dict[bytes, str] = {}
    then: dict[bytes, str] = {}
    refused: dict[bytes, LabelRefusal] = {}
    for each in sorted(machines, key=lambda each: each.public_key):
        for text, labels in ((each.given, first), (each.stated, then)):
            label = label_of(text) if text else None
            if isinstance(label, LabelRefusal):
                refused[each.public_key] = label
            elif label is not None:
                labels[each.public_key] = label
                refused.pop(each.public_key, None)
                break
    return first | then, refused


def _unique(wanted: Mapping[bytes, str]) -> dict[bytes, str]:
    taken: set[str] = set()
    numbers: dict[str, Iterator[int]] = {}
    labels: dict[bytes, str] = {}
    for public_key, label in wanted.items():
        free = label
        while free in taken:
            free = numbered(label, next(numbers.setdefault(label, count(2))))
        taken.add(free)
        labels[public_key] = free
    return labels
