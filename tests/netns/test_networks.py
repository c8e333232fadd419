"""Networks in which libtoxcore alone finds no path, or none that is direct; bench/networks.py has more."""

from vpns import Machine, connected

from lab import Lab


def test_two_in_one_lan_meet_without_the_internet(tox_network: Lab) -> None:
    home = tox_network.nat("home", "closed")
    machines = [Machine(tox_network, home.host(name)) for name in ("box", "laptop")]
    connected(*machines)
    machines[0].wait("--direct")


def test_two_in_one_lan_meet_directly_where_the_router_turns_nothing_back(tox_network: Lab) -> None:
    home = tox_network.nat("home")
    machines = [Machine(tox_network, home.host(name)) for name in ("box", "laptop")]
    connected(*machines)
    machines[0].wait("--direct")
