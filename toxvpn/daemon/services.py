"""The services of a run with peers: roster, server, forwards, VPN; and how a reload changes them.

In: the Config in force (config/flags.py). They are made once, and closed through `undo` in reverse order. A
reload touches only what differs; what concerns the node or the device itself takes a restart.
"""

import contextlib
import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING

from .._native.path.packets import FilterRule, Place
from ..config.access import (
    ALL_HERE,
    Known,
    config_keys,
    may_exit,
    may_listen,
    may_reach,
    may_speed,
    offered,
    on_network,
    reach,
)
from ..config.aim import parse_aim
from ..config.diff import InForce, changes, needs_restart
from ..config.model import Config
from ..config.policy import NOTHING, Policy, policy
from ..config.vpn import VpnSection
from ..errors import NotRunningError, ToxvpnError
from ..members.peers import ConfiguredPeer
from ..members.selector import find
from ..state.places import Places, make
from ..tcpforward.builtin import Builtins
from ..tcpforward.caller import Caller
from ..tcpforward.forwards import Destination, Forwards, ForwardState
from ..tcpforward.remote.forwards import RemoteForwards, Wanted
from ..tcpforward.remote.rules import ListenRules
from ..tcpforward.remote.server import RemoteListeners
from ..tcpforward.remote.spec import RemoteForward
from ..tcpforward.roads import Roads
from ..tcpforward.rules import Rules
from ..tcpforward.server import ForwardServer
from ..tcpforward.spec import AnyListen, RoadPolicy
from ..tcpforward.speed.server import SpeedServer
from ..tcpforward.udp.server import DatagramServer
from ..tun.filters import Reach, Verdict
from ..tun.host.namespace import HERE, Namespace
from ..wire import associations
from ..wire.ip import TCP, UDP
from ..wire.routes import IPNetwork
from ..wire.speed.messages import NAME as SPEED
from ..wire.toxid import short_key
from .callers import Callers
from .node import RunningNode
from .renewal import renew, warn_if_out, warn_who_may

if TYPE_CHECKING:
    from ..tun.exit.client import ExitClient
    from ..tun.vpn import Vpn
    from .names import VpnNames
    from .user_router import RouterOfUser

NAMES_OF_AN_EXIT = tuple(FilterRule(Place.HERE, protocol, 53, 53) for protocol in (UDP, TCP))
"""Who exits through this machine asks it for names."""

log = logging.getLogger("toxvpn")


def load(config: Config, *, for_reloads: bool = False) -> None:
    """Loads what only a VPN needs, 12 MB and 0.15 s. Called while we may read it: the user of -U may not.

    `for_reloads`: also what it does not need yet.
    """
    if config.vpn is None:
        return
    from ..tun.exit import client, exits, names  # noqa: F401
    from . import names as members  # noqa: F401
    from . import user_router  # noqa: F401

    if config.vpn.has_names or for_reloads:
        from ..names import keeper  # noqa: F401


class Services:
    """Made after `load`. `run_peers` are for this run only, beside the file's.

    Without `forwards` it serves no forwards.
    """

    def __init__(
        self,
        run: RunningNode,
        places: Places,
        config: Config,
        undo: contextlib.AsyncExitStack,
        *,
        run_peers: tuple[ConfiguredPeer, ...] = (),
        forwards: bool = True,
        namespace: Namespace = HERE,
    ) -> None:
        self._run = run
        self._places = places
        self._run_peers = run_peers
        self._namespace = namespace
        self._started = config
        self.now = InForce(config, policy(config, places.data))
        own = self.now.policy
        self.roster = run.roster(own.authority, self._peers())
        self.roster.offers = offered(config)
        run.relaying.named = self._relayed
        self.roster.has_section = lambda public_key: public_key in config_keys(self.now.config)
        self.builtins = Builtins()
        self._server = ForwardServer(self.may_reach if forwards else lambda _: NOTHING, self.builtins)
        self.roads = Roads(
            run.node,
            run.own_status,
            RoadPolicy.AUTO,
            self._server.serve,
            when_asked=not forwards,
            mostly_calls=not forwards,
            keep_s=run.keep_streams_s,
        )
        self.datagrams = DatagramServer(lambda: self.roads.chooser.fast, self._server)
        self.builtins.on_withdraw = self.datagrams.judge_again
        self.builtins.offer(associations.NAME, self.datagrams.builtin(self._server.serves))
        undo.push_async_callback(self.roads.close)
        undo.push_async_callback(self.builtins.close)
        self.builtins.on_use = self.roads.start  # what follows may want to be fast
        self.builtins.offer(SPEED, SpeedServer(self._may_speed, self.roads.segments).builtin)
        self.vpn: Vpn | None = None
        self.names: VpnNames | None = None
        self._carrying: RouterOfUser | None = None
        self.roster.on_allow = self._on_allow
        if config.vpn is not None:
            self._begin_vpn(config.vpn, undo)
        self.callers = Callers(run.node, self.roads.chooser)
        self.forwards = Forwards(self.roads.chooser.choice)
        undo.push_async_callback(self.forwards.close)
        self.listeners = RemoteListeners(
            run.node, self.roads.chooser, self.roads.chooser.choice, self.may_listen, self._name
        )
        self.listeners.offer(self.builtins)
        undo.push_async_callback(self.listeners.close)
        self.remotes = RemoteForwards(self.builtins, self.roads.chooser.choice)
        undo.push_async_callback(self.remotes.close)

    def start(self) -> None:
        """Raises ToxvpnError: a port in use."""
        config = self.now.config
        with self.forwards.bound(_listens(config)) as fresh:
            self.roster.start()
            self.forwards.replace(self._destinations(config), fresh)
        if self.vpn is not None:
            self.vpn.update_peers()
        self._keep_names()
        self._check_secret()
        self._check_relay_for()
        self._run.node.start()
        self.remotes.replace(self._remotes(config))

    def apply(self, config: Config) -> list[str]:
        """Puts `config` in force; returns what changed, a line each. When it raises, nothing has."""
        old, new = self.now, InForce(config, policy(config, self._places.data))
        with (
            self.forwards.bound(_listens(config)) as fresh,
            self._all_or_nothing(),
            self.roster.changed(new.policy.authority, self._peers(new)),
        ):
            self._put_in_force(new)
            self.forwards.replace(self._destinations(config), fresh)
        self.remotes.replace(self._remotes(config))
        self._judge_again()
        self._check_relay_for()
        return [*changes(old, new), *needs_restart(self._started, config)]

    def _destinations(self, config: Config) -> dict[AnyListen, Destination]:
        """The destinations of the forwards. Makes their peers friends, so call it after the roster."""
        return {
            listen: Destination(self.callers.get(config.peers[each.peer].public_key), each.target, each.peer)
            for each in config.forwards
            for listen in each.listen.each()
        }

    def _remotes(self, config: Config) -> dict[Wanted, Caller]:
        """What peers are asked to listen on. As `_destinations`."""
        return {
            (each.peer, forward): self.callers.get(config.peers[each.peer].public_key)
            for each in config.remote_forwards
            for forward in RemoteForward(each.listen, each.target).each()
        }

    def renew_secret(self) -> Policy:
        """Makes a new secret, and removes the peers that came by the old one. Returns the policy in force.

        Raises UsageError when toxvpn has not made this machine's secret itself.
        """
        config = self.now.config
        renew(config, self._places.data)
        self.apply(config)
        self._run.book.secret_is_out = False
        self._run.autosave.changed()
        return self.now.policy

    @contextlib.contextmanager
    def _all_or_nothing(self) -> Iterator[None]:
        """Restores rules and VPN when the block fails, or the roster with it."""
        before = self.now
        try:
            yield
        except BaseException:
            self._put_in_force(before)
            raise

    def _check_secret(self) -> None:
        """Warns once, after an upgrade, of a secret that an earlier version may have given away."""
        now, book = self.now, self._run.book
        if book.secret_is_out and now.config.server is not None and now.policy.authority.secret is not None:
            if not now.policy.fresh_secret:
                warn_if_out(now.config, self.roster.called)
                warn_who_may(peer for peer in self.roster.called if peer.may is None and self._serves(peer))
            book.secret_is_out = False
            self._run.autosave.changed()

    def _put_in_force(self, now: InForce) -> None:
        self.now = now
        self.roster.offers = offered(now.config)
        if self.vpn is not None:
            self._announce_name()
            self.vpn.allow(now.policy.addresses)
            self.vpn.choose_groups(() if now.config.vpn is None else now.config.vpn.multicast)
            self.vpn.update_peers()
            if self._carrying is not None:
                self._carrying.update()
            self._keep_names()

    def _judge_again(self) -> None:
        """Ends what peers have here and may not have any more."""
        self.listeners.recheck()
        self._server.judge_again()
        self.datagrams.judge_again()

    def _on_allow(self) -> None:
        self._judge_again()
        if self.vpn is not None:
            self.vpn.update_peers()
        if self._carrying is not None:
            self._carrying.update()

    def not_carried(self) -> dict[str, int]:
        """What a user's network did not carry for its peers, by reason."""
        return {} if self._carrying is None else self._carrying.drops

    def wanted(self) -> dict[bytes, str]:
        """The peers that should be connected, by public key, with their names for a person."""
        return {public_key: peer.short for public_key, peer in self.roster.peers().items()}

    def _peers(self, now: InForce | None = None) -> list[ConfiguredPeer]:
        return [*(now or self.now).policy.peers.values(), *self._run_peers]

    def _begin_vpn(self, section: VpnSection, undo: contextlib.AsyncExitStack) -> None:
        from .names import VpnNames
        from .user_router import RouterOfUser

        self.vpn = undo.enter_context(self._make_vpn(section))
        self.roster.on_routes = self.vpn.subnets.update
        if self._namespace is not HERE:
            self._carrying = RouterOfUser(self._run.node, self.vpn, self._stated)
            undo.push_async_callback(self._carrying.close)
        self.names = VpnNames(self._run, self.vpn, self.roster)
        undo.push_async_callback(self.names.close)

    def _make_vpn(self, section: VpnSection) -> "Vpn":
        from ..tun.exit.exits import ExitPlan
        from ..tun.subnets.routes import Grants
        from ..tun.vpn import JOURNAL_NAME, Vpn

        self._announce_name()
        journal = None if self._namespace.owner else make(self._places.runtime) / JOURNAL_NAME

        def on_device_removed() -> None:
            reason = f"{section.interface} was removed by somebody else, and the network with it: start again"
            self._run.lifecycle.fail(ToxvpnError(reason))

        return Vpn(
            self._run.node,
            self._run.own_status,
            section,
            journal,
            self._belongs,
            on_device_removed,
            self.now.policy.addresses,
            Grants(self._name, self.roster.routes, lambda public_key: self._reach(public_key) is not None),
            self._namespace,
            exits=ExitPlan(
                self._exit(section), lambda public_key: may_exit(self.now, public_key), self._behind
            ),
            reach_of=self._reach,
        )

    def _exit(self, section: VpnSection) -> "ExitClient | None":
        """Raises PeerRefusedError, UsageError: there is no such peer."""
        from ..tun.exit.client import ExitClient

        if section.exit is None:
            return None
        if self._namespace is not HERE:
            log.warning("exit is for this machine's own network, and not used in one for `toxvpn exec`")
            return None
        peer = find(
            section.exit,
            self.roster.peers().values(),
            where="name an exit by --peer too, or see `toxvpn peer list`",
        )
        return ExitClient(
            peer.public_key,
            peer.short,
            lan=section.exit_lan,
            dismissed=lambda: self._run.lifecycle.dismissed,
        )

    def _announce_name(self) -> None:
        if self.now.config.vpn is not None:
            self._run.own_status.set(name=self.now.config.vpn.stated_name)

    def _keep_names(self) -> None:
        if self.names is not None and self.now.config.vpn is not None:
            self.names.apply(self.now.config.vpn)

    def _belongs(self, public_key: bytes) -> bool:
        return on_network(self.now, self._known(public_key))

    def _check_relay_for(self) -> None:
        known = {(peer.name or "").casefold() for peer in self.roster.peers().values()}
        for name in self.now.config.node.relay_for:
            if name.casefold() not in known:
                log.warning("relay_for names %r, and no peer is called that; see `toxvpn peer list`", name)

    def _relayed(self) -> frozenset[bytes]:
        """The peers that reach each other through this machine."""
        names = {name.casefold() for name in self.now.config.node.relay_for}
        if not names:
            return frozenset()
        known = self.roster.peers().values()
        return frozenset(peer.public_key for peer in known if (peer.name or "").casefold() in names)

    def _name(self, public_key: bytes) -> str:
        peer = self.roster.peers().get(public_key)
        return peer.short if peer is not None else short_key(public_key)

    def _reach(self, public_key: bytes) -> Reach | None:
        rules = reach(self.now, self._known(public_key))
        if rules is None or not may_exit(self.now, public_key):
            return None if rules is None else rules.on_network()
        return rules.on_network() | dict.fromkeys(NAMES_OF_AN_EXIT, "may_exit")

    def _behind(self, public_key: bytes) -> list[IPNetwork]:
        """The networks behind this machine that its rules are asked about."""
        rules, vpn = self._reach(public_key), self.now.config.vpn
        if rules is None or vpn is None:
            return []
        named = [rule.where for rule in rules if not isinstance(rule.where, Place)]
        return [*vpn.advertise, *named]

    def unlimited(self) -> list[str]:
        """The peers that may reach all of this machine over the VPN, with their names for a person."""
        peers = [peer for key, peer in self.roster.peers().items() if self._belongs(key)]
        rules = {peer.short: reach(self.now, self._known(peer.public_key)) for peer in peers}
        return sorted(short for short, each in rules.items() if each in (None, ALL_HERE))

    def explain(self, public_key: bytes, target: str) -> Verdict:
        """Whether the friend may reach that over the VPN, and why. Raises UsageError, NotRunningError."""
        if self.vpn is None:
            raise NotRunningError("this toxvpn runs no VPN: `toxvpn up`, or [vpn] in config.toml, begins one")
        aim = parse_aim(target)
        member = self.vpn.router.peer(public_key)
        if member is None:
            return Verdict(False, "it is not on the network")
        here = aim.address or self.vpn.router.own_ipv4 or self.vpn.ipv6
        if here is None:
            return Verdict(False, "this machine has no address in the network")
        return self.vpn.filters.judge(member.peer, here, aim.protocol_of(here.version), aim.port)

    def _stated(self, public_key: bytes) -> Reach | None:
        """What an `allow` names for the friend; None without one."""
        rules = reach(self.now, self._known(public_key))
        return None if rules is None or rules is ALL_HERE else rules.on_network()

    def may_reach(self, public_key: bytes) -> Rules:
        """The targets that the friend may reach by forwards."""
        return may_reach(self.now, self._known(public_key))

    def _may_speed(self, public_key: bytes) -> bool:
        return may_speed(self.now, self._known(public_key))

    def may_listen(self, public_key: bytes) -> ListenRules:
        """Where this machine may listen for the friend."""
        return may_listen(self.now, self._known(public_key))

    def forward_states(self) -> list[ForwardState]:
        return [*self.forwards.states(), *self.remotes.states(), *self.listeners.states()]

    def _serves(self, peer: ConfiguredPeer) -> bool:
        return self.may_reach(peer.public_key) != NOTHING

    def _known(self, public_key: bytes) -> Known:
        roster = self.roster
        return Known(
            public_key,
            roster.grant(public_key),
            roster.may(public_key),
            roster.allow_of(public_key),
            roster.is_closed(public_key),
        )


def _listens(config: Config) -> list[AnyListen]:
    return [listen for forward in config.forwards for listen in forward.listen.each()]
