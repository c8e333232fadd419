"""One set of tests over both twins, and a property test of one against the other."""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toxvpn.testing import native_units
from toxvpn.wire import routes

Table = routes.PrefixTable | native_units.PrefixTable

# few different bits, so that prefixes nest and addresses are covered by several
ADDRESS_BITS = st.lists(st.sampled_from([0, 1, 63, 64, 127]), max_size=5).map(
    lambda bits: sum(1 << bit for bit in set(bits))
)
SCOPES = st.integers(0, 2)


def network(version: int, bits: int, length: int) -> IPv4Network | IPv6Network:
    if version == 4:
        return IPv4Network(((bits | bits >> 96) & 0xFFFFFFFF, length % 33), strict=False)
    return IPv6Network((bits, length), strict=False)


NETWORKS = st.builds(
    network,
    st.sampled_from([4, 6]),
    ADDRESS_BITS,
    st.sampled_from([0, 1, 8, 24, 31, 32, 63, 64, 65, 127, 128]),
)
CHANGES = st.lists(st.tuples(st.sampled_from(["set", "remove"]), NETWORKS, st.integers(0, 9), SCOPES))


@pytest.fixture(params=[routes.PrefixTable, native_units.PrefixTable], ids=["pure", "compiled"])
def table(request: pytest.FixtureRequest) -> Table:
    made: Table = request.param()
    return made


def test_the_compiled_one_is_compiled() -> None:
    assert native_units.PrefixTable.__module__ == "toxvpn.testing.native_units"
    assert native_units.__file__.endswith(".so")


def test_an_empty_table_knows_nothing(table: Table) -> None:
    assert len(table) == 0
    assert table.lookup(ip_address("10.0.0.1")) is None
    assert table.lookup(ip_address("fd74::1")) is None
    assert not table.remove(ip_network("10.0.0.0/8"))


def test_the_longest_prefix_wins(table: Table) -> None:
    for value, prefix in enumerate(["0.0.0.0/0", "10.0.0.0/8", "10.1.0.0/16", "10.1.2.3/32"]):
        table.set(ip_network(prefix), value)
    found = [table.lookup(ip_address(host)) for host in ("8.8.8.8", "10.9.9.9", "10.1.9.9", "10.1.2.3")]
    assert found == [0, 1, 2, 3]


def test_removing_uncovers_the_shorter_one(table: Table) -> None:
    table.set(ip_network("fd74::/16"), 1)
    table.set(ip_network("fd74::5/128"), 2)
    assert table.remove(ip_network("fd74::5/128"))
    assert table.lookup(ip_address("fd74::5")) == 1
    assert len(table) == 1


def test_setting_again_replaces(table: Table) -> None:
    table.set(ip_network("10.0.0.0/8"), 1)
    table.set(ip_network("10.0.0.0/8"), 2)
    assert (len(table), table.get(ip_network("10.0.0.0/8"))) == (1, 2)


def test_families_and_scopes_are_apart(table: Table) -> None:
    table.set(ip_network("0.0.0.0/0"), 4)
    table.set(ip_network("::/0"), 6)
    table.set(ip_network("::/0"), 7, 1)
    assert table.lookup(IPv4Address("1.2.3.4")) == 4
    assert table.lookup(IPv6Address("::ffff:1.2.3.4")) == 6
    assert table.lookup(IPv6Address("::1"), 1) == 7
    assert table.lookup(IPv4Address("1.2.3.4"), 1) is None
    assert table.get(ip_network("10.0.0.0/8")) is None


def test_thousands_of_routes(table: Table) -> None:
    prefixes = [ip_network((index << 8, 24)) for index in range(3000)]
    for index, prefix in enumerate(prefixes):
        table.set(prefix, index)
    for prefix in prefixes[::2]:
        assert table.remove(prefix)
    assert len(table) == 1500
    for index in (0, 1, 2, 1499, 2998, 2999):
        expected = index if index % 2 else None
        assert table.lookup(prefixes[index][7]) == expected


@given(CHANGES, st.lists(st.tuples(NETWORKS, SCOPES), max_size=8))
def test_the_twins_agree(
    changes: list[tuple[str, IPv4Network | IPv6Network, int, int]],
    questions: list[tuple[IPv4Network | IPv6Network, int]],
) -> None:
    pure, compiled = routes.PrefixTable(), native_units.PrefixTable()
    for verb, prefix, value, scope in changes:
        if verb == "set":
            pure.set(prefix, value, scope)
            compiled.set(prefix, value, scope)
        else:
            assert pure.remove(prefix, scope) == compiled.remove(prefix, scope)
    assert len(pure) == len(compiled)
    asked = questions + [(prefix, scope) for _, prefix, _, scope in changes]
    for prefix, scope in asked:
        assert pure.get(prefix, scope) == compiled.get(prefix, scope)
        for address in (prefix.network_address, prefix.broadcast_address):
            assert pure.lookup(address, scope) == compiled.lookup(address, scope)
