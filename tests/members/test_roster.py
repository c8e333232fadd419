"""Configured peers on a Tox network in memory: several machines, each with its roster."""

import json
import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from toxvpn.errors import PeerRefusedError, ToxvpnError, UsageError
from toxvpn.members import friends, peers
from toxvpn.members.friends import Authority, FriendBook, Grant
from toxvpn.members.peers import ALL, NETWORK, ConfiguredPeer, May, parse_peer
from toxvpn.members.pending import MOST_ONCE, MOST_SHOWN
from toxvpn.members.roster import Roster
from toxvpn.testing.fake_nodes import Network, until
from toxvpn.tox.events import FriendRequest
from toxvpn.tox.node import Node
from toxvpn.wire.invite import Invite, encode, request_message

NOW = 1_800_000_000.0


@pytest.fixture
async def network() -> AsyncIterator[Network]:
    made = Network()
    yield made
    made.close()


class Machine:
    """A node with a roster, as `toxvpn up` makes it."""

    def __init__(
        self,
        network: Network,
        directory: Path | None = None,
        *peers: ConfiguredPeer,
        authority: Authority | None = None,
        book: FriendBook | None = None,
        node: Node | None = None,
    ) -> None:
        self.network = network
        self.node = node or network.node()
        self.now = NOW
        self.saves = 0
        self.roster = Roster(
            self.node,
            authority or Authority(),
            book or FriendBook(),
            self._changed,
            lambda: self.now,
            directory,
            peers,
        )
        self.roster.start()

    def _changed(self) -> None:
        self.saves += 1

    @property
    def key(self) -> bytes:
        return self.node.tox.public_key

    @property
    def peer(self) -> ConfiguredPeer:
        """How others name it, by Tox ID."""
        return ConfiguredPeer(self.key, self.node.tox.address[32:36])

    @property
    def digits(self) -> str:
        return self.key.hex().upper()

    def sees(self, other: "Machine") -> bool:
        peer = self.node.peer(other.key)
        return peer is not None and peer.online

    async def asks(self, other: "Machine", message: bytes = b"auto-toxvpn") -> None:
        """Sends a friend request and waits until it has been judged."""
        refused, before = other.roster.admission.refused, other.roster.admission.refused.total()
        self.node.reach(other.node.tox.address, message)
        await until(lambda: refused.total() > before or self.sees(other))


def reconfigure(machine: Machine, peers: list[ConfiguredPeer]) -> None:
    with machine.roster.changed(Authority(), peers):
        pass


async def test_two_that_name_each_other_connect(network: Network) -> None:
    left, right = network.node(), network.node()
    peers = [ConfiguredPeer(node.tox.public_key, node.tox.address[32:36]) for node in (left, right)]
    one = Machine(network, None, peers[1], node=left)
    other = Machine(network, None, peers[0], node=right)
    await until(lambda: one.sees(other) and other.sees(one))
    assert one.roster.grant(other.key) is Grant.PEER
    assert not one.roster.is_asked(other.key) and not other.roster.is_asked(one.key)
    assert other.roster.pending == []


async def test_one_side_may_know_only_the_key(network: Network) -> None:
    server = Machine(network)
    client = Machine(network, None, server.peer)
    server.roster.add(ConfiguredPeer(client.key))
    await until(lambda: client.sees(server))


async def test_kept_peers_are_there_at_the_next_start(network: Network, tmp_path: Path) -> None:
    server = Machine(network)
    client = Machine(network, tmp_path)
    server.roster.add(ConfiguredPeer(client.key, name="laptop"))
    client.roster.add(server.peer)
    await until(lambda: client.sees(server))
    later = Machine(network, tmp_path)  # with the same files, and a new key
    assert list(later.roster.peers()) == [server.key]
    assert later.roster.is_asked(server.key)
    await until(lambda: server.roster.pending)
    assert server.roster.pending[0].public_key == later.key


async def test_peers_of_this_run_are_not_kept(network: Network, tmp_path: Path) -> None:
    kept, passing = Machine(network), Machine(network)
    Machine(network, tmp_path).roster.add(kept.peer)
    first = Machine(network, tmp_path, passing.peer)
    assert set(first.roster.peers()) == {kept.key, passing.key}
    book = first.roster.members.book
    assert set(Machine(network, tmp_path, book=book).roster.peers()) == {kept.key}
    assert passing.key not in book


async def test_a_name_of_this_run_is_shown_and_can_be_kept(network: Network, tmp_path: Path) -> None:
    bob = Machine(network)
    alice = Machine(network, tmp_path, replace(bob.peer, name="box", secret=b"for this run"))
    assert alice.roster.peers()[bob.key].name == "box" and peers.load(tmp_path) == {}
    alice.roster.rename("box", "cellar")
    assert [peer.name for peer in alice.roster.peers().values()] == ["cellar"]
    kept = peers.load(tmp_path)[bob.key]
    assert (kept.name, kept.tox_id, kept.secret) == ("cellar", bob.peer.tox_id, None)
    alice.roster.rename(bob.digits, "box")
    assert peers.load(tmp_path)[bob.key].name == "box" == alice.roster.peers()[bob.key].name


async def test_the_log_calls_a_peer_by_its_name_of_now(
    network: Network, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bob = Machine(network)
    alice = Machine(network, tmp_path)
    alice.roster.add(bob.peer)
    peer = alice.node.peer(bob.key)
    assert peer is not None
    caplog.set_level(logging.INFO, "toxvpn")
    peer.log(logging.getLogger("toxvpn"), logging.INFO, "refused")
    alice.roster.rename(bob.digits, "box")
    peer.log(logging.getLogger("toxvpn"), logging.INFO, "refused")
    assert caplog.messages[-2:] == [f"peer {peer.short}: refused", f"peer box ({peer.short}): refused"]


async def test_a_name_of_the_file_is_changed_there(network: Network, tmp_path: Path) -> None:
    bob = Machine(network)
    alice = Machine(network, tmp_path, replace(bob.peer, name="box"))
    alice.roster.has_section = lambda public_key: public_key == bob.key
    with pytest.raises(UsageError, match=r"peer box is named by its section of config\.toml"):
        alice.roster.rename("box", "cellar")
    assert alice.roster.peers()[bob.key].name == "box" and peers.load(tmp_path) == {}


async def test_adding_disturbs_no_other_connection(network: Network) -> None:
    server, client, third = Machine(network), Machine(network), Machine(network)
    client.roster.add(server.peer)
    server.roster.add(client.peer)
    await until(lambda: client.sees(server) and server.sees(client))
    before = client.node.peer(server.key)
    assert before is not None
    since = before.changed_s
    client.roster.add(third.peer)
    client.roster.add(server.peer)  # once more
    third.roster.add(client.peer)
    await until(lambda: client.sees(third))
    client.roster.remove(third.digits)
    assert client.node.peer(server.key) is before and before.changed_s == since and client.sees(server)


async def test_our_own_id_is_no_peer(
    network: Network, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    machine = Machine(network, tmp_path)
    with pytest.raises(UsageError, match="own Tox ID"):
        machine.roster.add(machine.peer)
    with pytest.raises(UsageError, match="own Tox ID"):
        Machine(network, None, machine.peer, node=machine.node)
    machine.roster.members.add(machine.peer)  # by hand, or from another machine's file
    again = Machine(network, tmp_path, node=machine.node)
    assert again.roster.peers() == {}
    assert "own Tox ID" in caplog.text


async def test_a_peer_is_asked_with_the_secret_that_is_for_it(network: Network) -> None:
    server = Machine(network, authority=Authority(secret=b"s3cret"))
    client = Machine(network, None, replace(server.peer, secret=b"s3cret"))
    await until(lambda: client.sees(server))
    assert server.roster.grant(client.key) is Grant.SECRET


@pytest.mark.parametrize("kept", [True, False])
async def test_what_lets_others_in_here_is_told_to_nobody_we_call(network: Network, kept: bool) -> None:
    """Who had it could come in with another key, and reach more than it may."""
    box = network.node()
    messages: list[bytes] = []
    box.subscribe(lambda event: messages.append(event.message) if isinstance(event, FriendRequest) else None)
    peer = ConfiguredPeer(box.tox.public_key, box.tox.address[32:36], "box")
    authority = Authority(secret=b"of our server")
    us = Machine(network, None, *([] if kept else [peer]), authority=authority)
    if kept:
        us.roster.add(peer)
    await until(lambda: messages)
    assert messages == [b"auto-toxvpn"]
    assert us.roster.called == [replace(peer, may=NETWORK) if kept else peer]


# -- invites --------------------------------------------------------------------------------------


def joins(machine: Machine, invite: Invite) -> ConfiguredPeer:
    return machine.roster.add(parse_peer(encode(invite), None, machine.now))


async def test_an_invite_connects_two_that_never_met(network: Network, tmp_path: Path) -> None:
    host = Machine(network, tmp_path / "host")
    guest = Machine(network, tmp_path / "guest")
    for directory in ("host", "guest"):
        (tmp_path / directory).mkdir()
    joins(guest, host.roster.invite(3600, "guest"))
    await until(lambda: guest.sees(host) and host.sees(guest))
    assert host.roster.grant(guest.key) is Grant.INVITE
    assert host.roster.peers()[guest.key].name == "guest"
    assert guest.roster.peers()[host.key].invite is None  # it has served
    assert "invite" not in (tmp_path / "guest" / "peers.json").read_text()


async def test_an_invited_peer_is_let_in_at_the_next_start(network: Network, tmp_path: Path) -> None:
    host = Machine(network, tmp_path)
    guest = Machine(network)
    joins(guest, host.roster.invite(3600))
    await until(lambda: host.sees(guest))
    friends.save(tmp_path, host.roster.members.book)
    later = Machine(network, tmp_path, book=friends.load(tmp_path))
    assert later.node.peer(guest.key) is not None


async def test_an_invite_is_for_one(network: Network) -> None:
    host, guest, thief = Machine(network), Machine(network), Machine(network)
    invite = host.roster.invite(3600)
    joins(guest, invite)
    await until(lambda: host.sees(guest))
    joins(thief, invite)
    await until(lambda: host.roster.pending)
    assert host.roster.pending[0].reason == "the invite was used by another machine"
    assert not thief.sees(host)


async def test_an_expired_invite_is_refused_by_the_host(network: Network) -> None:
    host, guest = Machine(network), Machine(network)
    invite = host.roster.invite(60)
    host.now += 61
    joins(guest, invite)  # whose clock is late
    await until(lambda: host.roster.pending)
    assert host.roster.pending[0].reason == "the invite has expired"


async def test_an_invite_stands_beside_whitelist_and_secret(network: Network) -> None:
    host = Machine(network, authority=Authority(secret=b"s3cret", whitelist=frozenset({bytes(32)})))
    guest = Machine(network)
    joins(guest, host.roster.invite(3600))
    await until(lambda: guest.sees(host))


async def test_a_removed_guest_does_not_come_back_by_its_invite(network: Network) -> None:
    host, guest = Machine(network), Machine(network)
    invite = host.roster.invite(3600, "guest")
    joins(guest, invite)
    await until(lambda: guest.sees(host))
    assert host.roster.remove("guest").public_key == guest.key
    await until(lambda: not guest.sees(host))
    joins(guest, invite)
    await until(lambda: host.roster.pending)
    assert not host.sees(guest) and host.roster.peers() == {}


@pytest.mark.parametrize("way", ["invite", "accept"])
async def test_an_invited_or_accepted_one_may_do_what_is_offered(network: Network, way: str) -> None:
    host, guest = Machine(network), Machine(network)
    host.roster.offers = frozenset({May.FORWARDS})
    if way == "invite":
        joins(guest, host.roster.invite(3600))
        await until(lambda: guest.sees(host))
    else:
        await guest.asks(host)
        host.roster.accept(guest.digits)
    host.roster.offers = ALL  # the VPN is switched on later
    assert host.roster.may(guest.key) == frozenset({May.FORWARDS})
    host.roster.add(ConfiguredPeer(guest.key, name="guest"))
    assert host.roster.may(guest.key) == frozenset({May.FORWARDS})


@pytest.mark.parametrize("allow", [None, ("localhost:22", "icmp")])
@pytest.mark.parametrize("way", ["invite", "accept"])
async def test_an_invited_or_accepted_one_reaches_what_a_person_said_and_else_nothing(
    network: Network, tmp_path: Path, way: str, allow: tuple[str, ...] | None
) -> None:
    host, guest = Machine(network, tmp_path), Machine(network)
    if way == "invite":
        joins(guest, host.roster.invite(3600, allow=allow))
        await until(lambda: guest.sees(host))
    else:
        await guest.asks(host)
        host.roster.accept(guest.digits, allow=allow)
    assert (host.roster.allow_of(guest.key), host.roster.is_closed(guest.key)) == (allow, True)
    host.roster.add(ConfiguredPeer(guest.key, name="guest"))
    again = Machine(network, tmp_path).roster
    assert (again.allow_of(guest.key), again.is_closed(guest.key)) == (allow, True)
    assert not guest.roster.is_closed(host.key), "whom we call is not limited"


async def test_an_invite_takes_nothing_from_a_peer_that_is_kept(network: Network) -> None:
    host, free, bound = Machine(network), Machine(network), Machine(network)
    host.roster.add(ConfiguredPeer(free.key))
    host.roster.add(ConfiguredPeer(bound.key, allow=("icmp",)))
    for guest in (free, bound):
        made = host.roster.invite(3600, allow=("localhost:22", "icmp"))
        host.roster.members.redeem(guest.key, request_message(made.secret))
    assert host.roster.allow_of(free.key) is None and not host.roster.is_closed(free.key)
    assert host.roster.allow_of(bound.key) == ("icmp", "localhost:22")
    host.roster.allow(bound.digits, ())
    host.roster.members.redeem(bound.key, request_message(made.secret))
    assert host.roster.allow_of(bound.key) == (), "it gains by an invite once"


async def test_what_a_peer_may_reach_is_replaced_at_once(network: Network, tmp_path: Path) -> None:
    host, guest = Machine(network, tmp_path), Machine(network)
    calls: list[str] = []
    host.roster.on_allow = lambda: calls.append("now")
    host.roster.add(ConfiguredPeer(guest.key, name="guest"))
    calls.clear()
    host.roster.allow("guest", ("icmp",))
    assert (host.roster.allow_of(guest.key), calls) == (("icmp",), ["now"])
    host.roster.allow("guest", ())
    assert Machine(network, tmp_path).roster.allow_of(guest.key) == ()
    with pytest.raises(PeerRefusedError):
        host.roster.allow("nobody", ())


async def test_who_came_by_the_secret_is_kept_first(network: Network) -> None:
    host = Machine(network, authority=Authority(secret=b"s3cret"))
    guest = Machine(network, None, replace(host.peer, secret=b"s3cret"))
    await until(lambda: guest.sees(host))
    with pytest.raises(UsageError, match="is not kept here"):
        host.roster.allow(guest.digits, ("icmp",))
    host.roster.add(ConfiguredPeer(guest.key, name="guest"))
    assert host.roster.allow("guest", ("icmp",)).allow == ("icmp",)


async def test_naming_a_peer_to_call_it_lets_it_use_nothing(network: Network, tmp_path: Path) -> None:
    host, box = Machine(network, tmp_path), Machine(network)
    host.roster.add(box.peer)
    assert host.roster.may(box.key) == NETWORK
    older = json.loads((tmp_path / "peers.json").read_text())
    del older["peers"][0]["may"]
    (tmp_path / "peers.json").write_text(json.dumps(older))
    assert Machine(network, tmp_path).roster.may(box.key) == ALL, "as the version meant it that wrote this"


async def test_who_is_named_for_a_run_is_on_its_network_whatever_it_was_kept_for(
    network: Network, tmp_path: Path
) -> None:
    host, guest = Machine(network, tmp_path), Machine(network)
    forwards = frozenset({May.FORWARDS})
    host.roster.add(ConfiguredPeer(guest.key, may=forwards))
    assert Machine(network, tmp_path).roster.may(guest.key) == forwards
    assert Machine(network, tmp_path, ConfiguredPeer(guest.key)).roster.may(guest.key) == ALL
    assert Machine(network, None, ConfiguredPeer(guest.key)).roster.may(guest.key) == NETWORK


async def test_who_came_by_the_secret_and_gets_a_name_may_do_what_it_might(network: Network) -> None:
    host = Machine(network, authority=Authority(secret=b"s3cret"))
    guest = Machine(network, None, replace(host.peer, secret=b"s3cret"))
    await until(lambda: guest.sees(host))
    host.roster.add(ConfiguredPeer(guest.key, name="guest"))
    assert host.roster.may(guest.key) == ALL


# -- strangers ------------------------------------------------------------------------------------


async def test_a_stranger_waits_until_a_person_accepts_it(
    network: Network, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    host, stranger = Machine(network, tmp_path), Machine(network)
    await stranger.asks(host)
    assert not stranger.sees(host)
    (pending,) = host.roster.pending
    assert (pending.public_key, pending.first, pending.reason) == (stranger.key, NOW, "unknown key")
    assert f"toxvpn peer accept {stranger.digits[:16]} " in caplog.text
    host.roster.accept(stranger.digits[:16].lower(), "laptop")
    await until(lambda: stranger.sees(host))
    assert host.roster.pending == []
    assert host.roster.grant(stranger.key) is Grant.ACCEPT
    assert host.saves
    assert Machine(network, tmp_path).roster.peers() == {
        stranger.key: ConfiguredPeer(stranger.key, name="laptop", may=ALL, closed=True)
    }


async def test_only_those_who_asked_can_be_accepted(network: Network) -> None:
    host, stranger = Machine(network), Machine(network)
    await stranger.asks(host)
    for wrong in (stranger.digits[:15], "0" * 16, "laptop", ""):
        with pytest.raises(PeerRefusedError, match="give 16 digits of a key"):
            host.roster.accept(wrong)
    with pytest.raises(UsageError):
        host.roster.accept(stranger.digits, "two words")
    assert len(host.roster.pending) == 1


async def test_a_crowd_of_strangers_is_bounded(network: Network) -> None:
    host, stranger = Machine(network), Machine(network)
    for number in range(MOST_ONCE + 5):
        host.roster.admission.pending.note(number.to_bytes(32, "big"), "unknown key", NOW)
    await stranger.asks(host)
    assert len(host.roster.pending) == MOST_SHOWN
    assert host.roster.pending[0].public_key == stranger.key


async def test_a_removed_peer_is_a_stranger_again(network: Network, tmp_path: Path) -> None:
    host = Machine(network, tmp_path)
    guest = Machine(network, None, host.peer)
    host.roster.add(ConfiguredPeer(guest.key, name="guest"))
    await until(lambda: guest.sees(host))
    assert host.roster.remove("GUEST").name == "guest"
    await until(lambda: not guest.sees(host))
    assert host.node.peer(guest.key) is None
    await guest.asks(host)
    assert host.roster.pending[0].public_key == guest.key
    assert Machine(network, tmp_path).roster.peers() == {}


async def test_a_peer_of_this_run_can_be_removed(network: Network) -> None:
    guest = Machine(network)
    host = Machine(network, None, guest.peer)
    host.roster.remove(guest.digits)
    assert host.roster.peers() == {} and host.node.peer(guest.key) is None
    await guest.asks(host)
    assert not guest.sees(host) and host.roster.pending[0].public_key == guest.key
    with pytest.raises(PeerRefusedError):
        host.roster.remove(guest.digits)


async def test_whom_the_command_line_lets_in_is_removed_there(network: Network) -> None:
    guest = Machine(network)
    host = Machine(network, authority=Authority(whitelist=frozenset({guest.key})))
    with pytest.raises(UsageError, match="let in by -i"):
        host.roster.remove(guest.digits)


async def test_a_name_is_one_peers_whether_kept_or_of_this_run(network: Network, tmp_path: Path) -> None:
    first, second, third = (bytes([number]) * 32 for number in (1, 2, 3))
    ours = Machine(network, tmp_path, ConfiguredPeer(first, name="box"))
    with pytest.raises(UsageError, match="'box' is the name of peer 01010101"):
        ours.roster.add(ConfiguredPeer(second, name="Box"))
    ours.roster.add(ConfiguredPeer(second, name="other"))
    with pytest.raises(UsageError, match="'other' is the name of"):
        reconfigure(ours, [ConfiguredPeer(third, name="other")])
    assert {key: peer.name for key, peer in ours.roster.peers().items()} == {first: "box", second: "other"}
    assert third not in {peer.public_key for peer in ours.node}


async def test_who_is_named_for_the_run_is_removed_until_it_is_named_again(
    network: Network, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    box = ConfiguredPeer(bytes([1]) * 32, name="box")
    ours = Machine(network, tmp_path, box)
    assert ours.roster.remove("box").public_key == box.public_key
    assert ours.roster.peers() == {} and list(ours.node) == []
    assert "peer box is named in config.toml or by --peer, and will be back" in caplog.text
    reconfigure(ours, [box])
    assert ours.roster.peers() == {box.public_key: box}
    with pytest.raises(PeerRefusedError, match="no peer 'other'"):
        ours.roster.remove("other")


# -- who is shut out by name ----------------------------------------------------------------------


async def test_one_holder_of_the_secret_can_be_shut_out(network: Network, tmp_path: Path) -> None:
    authority = Authority(secret=b"s3cret")
    host = Machine(network, tmp_path, authority=authority)
    asking = replace(host.peer, secret=b"s3cret")
    good, bad = Machine(network, None, asking), Machine(network, None, asking)
    await until(lambda: good.sees(host) and bad.sees(host))
    assert host.roster.block(bad.digits[:8]).grant is Grant.SECRET
    await until(lambda: not bad.sees(host))
    await bad.asks(host, b"s3cret\0")
    assert not bad.sees(host) and good.sees(host) and host.roster.pending == []
    assert host.roster.admission.refused == {"blocked": 1}
    later = Machine(network, tmp_path, authority=authority)
    assert list(later.roster.members.blocked) == [bad.key]
    await bad.asks(later, b"s3cret\0")
    assert not bad.sees(later)
    later.roster.unblock(bad.digits)
    later.node.forget_request(bad.key)
    bad.node.reach(later.node.tox.address, b"s3cret\0")
    await until(lambda: bad.sees(later))
    assert Machine(network, tmp_path, authority=authority).roster.members.blocked == {}


async def test_a_blocked_peer_of_the_configuration_is_not_called(network: Network, tmp_path: Path) -> None:
    box = Machine(network)
    host = Machine(network, tmp_path, replace(box.peer, name="box"))
    box.roster.add(host.peer)
    await until(lambda: host.sees(box))
    host.roster.block("box")
    assert host.roster.peers() == {} and list(host.node) == []
    reconfigure(host, [replace(box.peer, name="box")])
    assert host.roster.peers() == {} and list(host.node) == []
    host.roster.unblock("box")
    await until(lambda: host.sees(box))


async def test_a_stranger_and_an_unknown_key_can_be_blocked(network: Network) -> None:
    host, stranger = Machine(network), Machine(network)
    await stranger.asks(host)
    host.roster.block(stranger.digits[:8])
    assert host.roster.pending == []
    unknown = bytes([5]) * 32
    host.roster.block(unknown.hex())
    assert set(host.roster.members.blocked) == {stranger.key, unknown}
    with pytest.raises(PeerRefusedError, match="no peer 'nobody'"):
        host.roster.block("nobody")
    with pytest.raises(UsageError, match="own key"):
        host.roster.block(host.digits)
    with pytest.raises(PeerRefusedError, match="shows who is blocked"):
        host.roster.unblock("nobody")


@pytest.mark.parametrize("verb", ["remove", "block"])
async def test_who_is_shut_out_is_out_even_if_the_disk_is_full(
    network: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    def full(*_: object) -> None:
        raise ToxvpnError("no space left")

    host, guest = Machine(network, tmp_path), Machine(network)
    host.roster.add(guest.peer)
    guest.roster.add(host.peer)
    await until(lambda: host.sees(guest))
    monkeypatch.setattr(peers, "save", full)
    with pytest.raises(ToxvpnError, match="is shut out for this run only: no space left"):
        getattr(host.roster, verb)(guest.digits)
    assert guest.key not in {peer.public_key for peer in host.node}
    assert guest.key not in host.roster.members.book


# -- what toxcore will not have -------------------------------------------------------------------


def refusing(machine: Machine, monkeypatch: pytest.MonkeyPatch, key: bytes) -> None:
    """libtoxcore says of that key what it says of one that is none."""
    fake = machine.network.fake(machine.node)
    usual = fake.friend_add_norequest

    def add(public_key: bytes) -> int:
        if public_key == key:
            raise ToxvpnError("the Tox ID's checksum is wrong")
        return usual(public_key)

    monkeypatch.setattr(fake, "friend_add_norequest", add)


NONE = bytes([3]) * 32


async def test_what_toxcore_will_not_have_is_not_kept(
    network: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = Machine(network, tmp_path)
    refusing(host, monkeypatch, NONE)
    with pytest.raises(ToxvpnError, match="checksum"):
        host.roster.add(ConfiguredPeer(NONE))
    assert host.roster.peers() == {} and NONE not in host.roster.members.book
    assert peers.load(tmp_path) == {}


async def test_what_toxcore_will_not_have_keeps_no_one_else_out(
    network: Network, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    host, box, later = Machine(network), Machine(network), Machine(network)
    refusing(host, monkeypatch, NONE)
    bad = ConfiguredPeer(NONE, b"spam", "bad")
    reconfigure(host, [bad, box.peer])
    assert host.node.peer(box.key) is not None
    assert "peer bad cannot be asked" in caplog.text and "cannot be added as a friend" in caplog.text
    reconfigure(host, [bad, later.peer])
    assert {peer.public_key for peer in host.node} == {later.key}


async def test_a_kept_peer_goes_without_a_name_that_the_configuration_has(
    network: Network, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = (bytes([number]) * 32 for number in (1, 2))
    peers.save(tmp_path, {first: ConfiguredPeer(first, name="Box")})
    host = Machine(network, tmp_path, ConfiguredPeer(second, name="box"))
    assert {key: peer.name for key, peer in host.roster.peers().items()} == {first: None, second: "box"}
    assert "the kept peer 0101010101010101 has no name in this run" in caplog.text
