"""Makes the node of a run, with its identity, its friends and the record of them, and closes it again."""

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from pathlib import Path

from ..config.options import NodeOptions
from ..members.autosave import Autosave
from ..members.friends import Authority, FriendBook
from ..members.friends import load as load_book
from ..members.peers import ConfiguredPeer
from ..members.roster import Roster
from ..portmap.keeper import MappingKeeper
from ..process.lifecycle import Lifecycle
from ..state.files import write_atomic
from ..state.identity import Identity
from ..state.places import find_places
from ..tcpforward.fast import patience
from ..tox.bootstrap import Bootstrapper, load_nodes
from ..tox.handle import make_tox
from ..tox.mtuprober import MtuProber
from ..tox.node import Node
from ..tox.ownstatus import OwnStatus
from ..tox.reach import met
from ..tox.reach.detours import Detours
from ..tox.reach.greeter import Greeter
from ..tox.reach.mapping import mapping
from ..tox.reach.nat64 import Nat64
from ..tox.reach.punch import Punch
from ..tox.reach.quick import QuickRelays
from ..tox.reach.recovery import Recovery
from ..tox.reach.relaying import Relaying
from ..tox.reach.reunion import Reunion
from ..tox.reach.straight import Straight
from ..tox.reach.twins import Twins
from ..tox.resolver import Ask, Names
from .identity import take_identity


@dataclass(slots=True)
class RunningNode:
    """The node of a run, not started yet, with what goes along with it. `directory` None: nothing is kept."""

    node: Node
    own_status: OwnStatus
    prober: MtuProber
    book: FriendBook
    autosave: Autosave
    directory: Path | None
    lifecycle: Lifecycle
    relaying: Relaying
    metrics_port: int | None = None
    keep_streams_s: int = patience.DEFAULT_S
    port_mapping: MappingKeeper | None = None

    @property
    def stopping(self) -> asyncio.Event:
        """Set it to end the run."""
        return self.lifecycle.stopping

    def loss(self, public_key: bytes) -> float | None:
        """Which part of the latest probes to the peer got lost, 0 to 1; None: not known."""
        trips = self.prober.trips(public_key)
        return None if trips is None else trips.loss(self.node.now())

    def roster(self, authority: Authority, run_peers: Iterable[ConfiguredPeer] = ()) -> Roster:
        """The peers that are let in. Raises UsageError, ConfigError."""
        return Roster(
            self.node, authority, self.book, self.autosave.changed, time.time, self.directory, run_peers
        )


@contextlib.asynccontextmanager
async def running_node(
    options: NodeOptions,
    directory: Path | None,
    lifecycle: Lifecycle,
    mark: int = 0,
    ask: Ask | None = None,
) -> AsyncIterator[RunningNode]:
    """Locks and loads the identity in `directory`; saves and closes at the end. Raises ToxvpnError.

    `mark` is that of toxcore's sockets (make_tox); `ask` looks names up in place of getaddrinfo.
    """
    nodes = load_nodes(options.nodes_file)
    chance = random.SystemRandom()
    with contextlib.ExitStack() as undo:
        if directory is None:
            identity = Identity.ephemeral()
        else:
            identity = await take_identity(directory, find_places(options.directory).runtime)
        undo.callback(identity.close)
        tox = make_tox(
            identity,
            chance,
            options.udp_ports,
            options.tcp_port,
            options.toxcore_log,
            options.proxy,
            options.udp_segmentation,
            options.lan_discovery,
            mark,
        )
        undo.callback(tox.close)
        identity.save(tox.savedata())
        if options.id_file is not None:
            write_atomic(options.id_file, tox.address.hex().upper().encode() + b"\n", 0o644)
        lifecycle.sockets_bound()
        # our own DNS queries would reveal what the proxy is to hide
        resolve = None if options.proxy else Names(asyncio.get_running_loop(), ask).resolve
        node = Node(tox, Bootstrapper(nodes, chance, resolve))
        undo.callback(node.close)
        book = FriendBook() if directory is None else load_book(directory)
        autosave = Autosave(node, identity, book, directory)
        undo.callback(autosave.close)
        lifecycle.watch(node)
        Twins(node, nodes, resolve)
        own_status = OwnStatus(node)
        prober = MtuProber(node, own_status)
        undo.callback(prober.close)
        recovery = Recovery(node, mark)
        undo.callback(recovery.close)
        if resolve is not None:
            recovery.after_move.append(Nat64(node, resolve, mark).moved)
        Straight(node, recovery, Detours(node, recovery))
        if options.lan_discovery and options.proxy is None and not mark:  # an exit hides us from the LAN too
            greeter = Greeter(node)
            undo.callback(greeter.close)
            recovery.after_move.append(greeter.moved)
        undo.callback(Punch(node, recovery, mark).close)
        met_before = met.MetBook() if directory is None else met.load(directory, time.time())
        reunion = Reunion(node, recovery, met_before, autosave.changed, mark=mark)
        QuickRelays(node, recovery, reunion)
        if directory is not None:
            autosave.others.append(reunion.snapshot)
        async with mapping(node, recovery, mark, wanted=options.port_mapping) as keeper:
            yield RunningNode(
                node,
                own_status,
                prober,
                book,
                autosave,
                directory,
                lifecycle,
                Relaying(node),
                options.metrics_port,
                options.keep_streams,
                keeper,
            )
