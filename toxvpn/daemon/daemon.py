"""The runs that serve until they are stopped: `toxvpn` alone, `up` and `run`.

Each uses its sections of the configuration (config/flags.py). services.py makes the services, and changes
them at a reload; control.py answers commands; share/lend.py lets commands use the run's connections.
"""

import contextlib
import logging
from functools import partial

from ..config.flags import DaemonOptions, RunKind
from ..config.model import Config
from ..control.join import JOIN, refuse_to_join
from ..control.status_reader import StatusReader
from ..process.lifecycle import Lifecycle
from ..report.progress import progress
from ..report.welcome import client_commands, log_network, log_unlimited, print_server
from ..share.handout import handing_out
from ..share.lend import Lendable, lending
from ..state.places import find_places
from ..tox.proxy import Proxy
from ..tox.resolver import Ask
from ..tun.exit.killswitch import MARK
from ..tun.host.namespace import HERE
from .control import controlled
from .measured import Measured
from .node import RunningNode, running_node
from .services import Services

log = logging.getLogger("toxvpn")


async def serve(options: DaemonOptions, lifecycle: Lifecycle) -> None:
    """Serves until the run is stopped. Raises ToxvpnError when a service cannot start."""
    config, configured = options.config_as_user(), options.source
    places = find_places(options.directory)
    mark = 0 if options.user_network else exit_mark(config)  # its packets are not in that network
    ask = names_beside(mark) if mark else None
    if options.user_network is not None:
        from .user_network import JoinableNetwork
    async with (
        running_node(options, places.data, lifecycle, mark, ask) as run,
        contextlib.AsyncExitStack() as undo,
    ):
        network = None
        if options.user_network is not None:
            network = undo.enter_context(JoinableNetwork(options.user_network, run, places.runtime))
        services = Services(
            run,
            places,
            config,
            undo,
            run_peers=options.peers,
            forwards=configured.kind is not RunKind.UP,
            namespace=network.namespace if network else HERE,
        )

        def reload() -> list[str]:
            return services.apply(configured.read())

        if configured.files:
            lifecycle.on_reload(reload)
        lender = await undo.enter_async_context(
            lending(_lendable(run, services, options.proxy), places.runtime)
        )
        await undo.enter_async_context(
            handing_out(services.builtins, services.roster, services.roads, places.runtime)
        )
        tuntox = services.roads.tuntox
        measured = Measured(run.node, run.prober, tuntox)
        status = StatusReader(
            run.node,
            "up" if services.vpn else "server",
            services.roster,
            services.vpn,
            lambda: [*services.forward_states(), *lender.states()],
            measured=measured,
            names=services.names,
            more_drops=services.not_carried,
            drops_of=services.datagrams.drops,
            port_mapping=run.port_mapping,
        )
        tox_id = run.node.tox.address.hex().upper()

        def renew() -> tuple[str, str]:
            return client_commands(tox_id, services.now.config, services.renew_secret(), places.data)

        more = {JOIN: network.join if network else refuse_to_join(services.vpn is not None)}
        async with controlled(
            run,
            places.runtime,
            status,
            tuntox,
            measured,
            services.roster,
            reload,
            renew,
            policy=services.explain,
            more=more,
        ):
            services.start()
            if config.server is not None:
                print_server(config, services.now.policy, tox_id, places.data)
            else:
                log.info("this machine's Tox ID: %s", tox_id)
            if services.vpn is not None:
                log_network(services.vpn)
                log_unlimited(
                    services.unlimited(), "commands here" if options.user_network else "this machine"
                )
                services.vpn.exits.hold()
            lifecycle.ready()
            with progress(run.node, services.wanted):
                await lifecycle.ended()


def exit_mark(config: Config) -> int:
    """The mark of Tox's own packets, which go round the exit; 0: there is none."""
    return 0 if config.vpn is None or config.vpn.exit is None else MARK


def names_beside(mark: int) -> Ask:
    """Looks names up beside the exit."""
    from ..tun.exit.names import ask_beside

    return partial(ask_beside, mark)


def _lendable(run: RunningNode, services: Services, proxy: Proxy | None) -> Lendable:
    return Lendable(
        run.node,
        services.roster,
        services.roads,
        services.builtins,
        services.callers.get,
        run.stopping,
        proxy,
        run.loss,
    )
