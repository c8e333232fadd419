"""Networks in which libtoxcore alone finds no path, or none that is direct; bench/networks.py has more."""

from vpns import Machine, connected

from lab import Lab


def test_two_in_one_lan_meet_without_the_internet(tox_network: Lab) -> None:
    home = tox_network.nat("home", "closed")
    machines = [Machine(tox_network, home.host(name)) for name in ("box", "laptop")]
    connected(*machines)
    machines[0].wait("--direct")


def test_who_is_beside_another_where_udp_is_blocked_finds_a_peer_elsewhere(tox_network: Lab) -> None:
    hotel = tox_network.nat("hotel", "udp-blocked")
    box, *guests = (
        Machine(tox_network, host)
        for host in (tox_network.nat("home").host("box"), hotel.host("laptop"), hotel.host("other"))
    )
    box.start(*(word for guest in guests for word in ("--peer", guest.tox_id)))
    for guest in guests:
        guest.start("--peer", box.tox_id)
    for guest in guests:
        guest.wait()


def test_two_in_one_lan_meet_directly_where_the_router_turns_nothing_back(tox_network: Lab) -> None:
    home = tox_network.nat("home")
    machines = [Machine(tox_network, home.host(name)) for name in ("box", "laptop")]
    connected(*machines)
    machines[0].wait("--direct")
