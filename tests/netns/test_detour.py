"""By way of a common friend: behind two symmetric NATs, and while the direct path is gone."""

from collections.abc import Iterator
from functools import partial

import pytest
from vpns import Machine, SteadyPing

from lab import Host, Lab

FRIENDS = '[node]\nrelay_for = ["ann", "ben"]\n'
WALL = """
table inet wall {{
  chain output {{ type filter hook output priority filter; ip daddr {0} udp dport != 53 drop; }}
  chain input {{ type filter hook input priority filter; ip saddr {0} meta l4proto udp drop; }}
}}
"""


class Friends:
    """ann and ben, and box, which relays for both; each names the others."""

    def __init__(self, lab: Lab, ann: Host, ben: Host, box: Host) -> None:
        self.ann, self.ben, self.box = self.all = [Machine(lab, host) for host in (ann, ben, box)]
        for machine in self.all:
            text = FRIENDS if machine is self.box else ""
            for other in self.all:
                if other is not machine:
                    text += f'[peers.{other.host.name[:3]}]\nid = "{other.tox_id}"\n'
            (machine.directory / "config.toml").write_text(text)
            machine.start()

    def path(self) -> tuple[str, str | None]:
        """How ann reaches ben."""
        ben = self.ann.sees(self.ben.public_key)
        return ben["path"], ben["via"]

    def until_path(self, *path: str | None) -> None:
        self.ann.until(partial(self._is_on, path), f"the path to be {path}")

    def _is_on(self, path: tuple[str | None, ...]) -> bool:
        return self.path() == path and self.ben.sees(self.ann.public_key)["path"] == path[0]


@pytest.fixture
def friends(_shared_network: Lab, request: pytest.FixtureRequest) -> Iterator[Friends]:
    lab = _shared_network
    made: list[Host] = []
    for name in ("ann", "ben"):
        if request.param == "symmetric":
            router = lab.nat(f"{name}router", "symmetric")
            made += [router, router.host(name)]
        else:
            made.append(lab.host(name, ipv6=False))
    made.append(lab.host("box", ipv6=False))
    yield Friends(lab, *[host for host in made if not host.name.endswith("router")])
    for host in reversed(made):
        lab.remove(host)


@pytest.mark.parametrize("friends", ["symmetric"], indirect=True)
def test_two_behind_symmetric_nats_meet_by_way_of_a_friend(friends: Friends) -> None:
    friends.until_path("friend", "box")
    assert friends.ann.reaches(*friends.ben.addresses)
    assert "friend box" in friends.ann.toxvpn("status").stdout
    (friends.box.directory / "config.toml").write_text(
        (friends.box.directory / "config.toml").read_text().replace(FRIENDS, "")
    )
    friends.box.toxvpn("reload")
    friends.until_path("tcp-relay", None)


@pytest.mark.parametrize("friends", ["public"], indirect=True)
def test_a_friend_takes_over_from_the_direct_path_and_gives_it_back(friends: Friends) -> None:
    ann, ben = friends.ann, friends.ben
    friends.until_path("udp", None)
    talk = SteadyPing(ann.host, ben.ipv4)
    ann.host.run(["nft", "-f", "-"], input=WALL.format(ben.host.ipv4))
    friends.until_path("friend", "box")
    ann.host.run(["nft", "delete", "table", "inet", "wall"])
    friends.until_path("udp", None)
    lost = talk.lost()
    assert lost == list(range(lost[0], lost[-1] + 1)), "none on the way back"
