"""Makes the Prometheus text of what a run counts (docs/metrics.md has every name).

In: the status document and the counters beside it. Out: the text. Neighbour: collector.py collects both.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest, registry
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric

PATHS = ("udp", "friend", "tcp-relay", "none")
PEER = ("public_key", "name")
PROTOCOLS = ("PCP", "NAT-PMP", "UPnP")

NETWORK = {
    "sent": ("toxvpn_datagrams_sent", "Datagrams that the kernel took."),
    "received": ("toxvpn_datagrams_received", "Datagrams handed to libtoxcore."),
    "shielded": ("toxvpn_datagrams_shielded", "Of these, kept from a libtoxcore that they would crash."),
    "send_calls": ("toxvpn_send_calls", "System calls that sent them."),
    "receive_calls": ("toxvpn_receive_calls", "System calls that received them."),
    "segmented": ("toxvpn_segmented_send_calls", "Calls that sent several datagrams (UDP_SEGMENT)."),
    "segmented_refused": ("toxvpn_segmented_send_refusals", "Such calls that the kernel refused."),
    "deferred": ("toxvpn_datagrams_deferred", "Datagrams that waited for room in the kernel."),
    "refused": ("toxvpn_datagrams_refused", "Datagrams that libtoxcore was told to keep: too many waited."),
    "truncated": ("toxvpn_datagrams_truncated", "Received datagrams longer than the buffer."),
    "unfair": (
        "toxvpn_datagrams_unfair",
        "Datagrams dropped as their sender takes more than its share of a busy process.",
    ),
    "turns_cut": ("toxvpn_receive_turns_cut", "Receptions ended early so that others get their turn."),
    "stream_sent": ("toxvpn_relay_sent_bytes", "Bytes to relays, and as a relay, that the kernel took."),
    "stream_received": ("toxvpn_relay_received_bytes", "Bytes from relays, and as a relay."),
    "stream_send_calls": ("toxvpn_relay_send_calls", "System calls that sent them."),
    "stream_receive_calls": ("toxvpn_relay_receive_calls", "System calls that received them."),
    "stream_refused": ("toxvpn_relay_refused", "Packets that libtoxcore was told to keep or drop."),
}
"""The metric and the help text of each counter of netio (_native/net/kernel.h)."""
DROPPED = "dropped_"
"""The prefix of netio's other counters; the rest of such a name is the reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """The counters that are not in the status document, each since the process started.

    `network`: netio's counters; `detours`: packets by way of a friend, by what became of them; `refused`:
    friend requests, by reason; `tunnel_drops`: packets of the tuntox road, by reason; `tasks`: of the
    event loop, now.
    """

    versions: Mapping[str, str]
    network: Mapping[str, int] = field(default_factory=dict)
    detours: Mapping[str, int] = field(default_factory=dict)
    refused: Mapping[str, int] = field(default_factory=dict)
    tunnel_drops: Mapping[str, int] = field(default_factory=dict)
    tasks: int = 0


def text(document: Mapping[str, Any], counted: Counted) -> str:
    """The metrics; `document` is what control/status.py makes."""
    metrics = CollectorRegistry(auto_describe=False)
    metrics.register(_Families(document, counted))
    ProcessCollector(registry=metrics)
    return generate_latest(metrics).decode()


class _Families(registry.Collector):
    def __init__(self, document: Mapping[str, Any], counted: Counted) -> None:
        self._document = document
        self._counted = counted

    def collect(self) -> Iterable[Metric]:
        own = self._document["self"]
        yield InfoMetricFamily("toxvpn_build", "What runs.", {**self._counted.versions, "mode": own["mode"]})
        connection = GaugeMetricFamily("toxvpn_connection", "1 for how we are on Tox.", labels=["path"])
        for path in PATHS:
            connection.add_metric([path], path == own["connection"])
        yield connection
        yield _counter(
            "toxvpn_detour_packets",
            "Packets by way of a friend that were passed on (relayed), or why they were dropped.",
            self._counted.detours,
        )
        yield _counter("toxvpn_dropped_packets", "IP packets that belong to no peer.", own["drops"])
        yield from _port_mapping(own["port_mapping"])
        yield from _peers(self._document["peers"], traffic=own["interface"] is not None)
        yield from _forwards(self._document["forwards"])
        yield _counter(
            "toxvpn_friend_requests_refused", "Friend requests that let nobody in.", self._counted.refused
        )
        pending = len(self._document["pending"])
        yield GaugeMetricFamily(
            "toxvpn_friend_requests_pending", "Strangers who wait for a person to decide.", pending
        )
        yield _counter(
            "toxvpn_tunnel_dropped_packets",
            "Packets of the tuntox road that were of no use.",
            self._counted.tunnel_drops,
        )
        yield from _network(self._counted.network)
        yield GaugeMetricFamily("toxvpn_tasks", "Tasks of the event loop.", self._counted.tasks)


def _port_mapping(mapping: Mapping[str, Any] | None) -> Iterator[Metric]:
    """Nothing when the router is not asked."""
    if mapping is not None:
        mapped = GaugeMetricFamily(
            "toxvpn_port_mapping", "1 for how the router maps a port to us.", labels=["protocol"]
        )
        for protocol in PROTOCOLS:
            mapped.add_metric([protocol], protocol == mapping["protocol"])
        yield mapped
        yield _counter(
            "toxvpn_port_mapping_dropped",
            "Answers about port mappings, and endpoints of peers, that were dropped.",
            mapping["drops"],
        )


def _peers(peers: Iterable[Mapping[str, Any]], *, traffic: bool) -> Iterator[Metric]:
    """Metrics of each peer; with `traffic` also of its IP packets, which pass through a VPN only."""
    path = GaugeMetricFamily(
        "toxvpn_peer_connection", "1 for how the peer is reached.", labels=[*PEER, "path"]
    )
    rtt = GaugeMetricFamily("toxvpn_peer_round_trip_seconds", "The last one measured.", labels=PEER)
    received = CounterMetricFamily("toxvpn_peer_received_bytes", "IP packets out of Tox.", labels=PEER)
    sent = CounterMetricFamily("toxvpn_peer_sent_bytes", "IP packets into Tox.", labels=PEER)
    drops = CounterMetricFamily(
        "toxvpn_peer_dropped_packets", "Packets from or to the peer.", labels=[*PEER, "reason"]
    )
    for peer in peers:
        labels = [peer["public_key"], peer["name"] or ""]
        for each in PATHS:
            path.add_metric([*labels, each], each == peer["path"])
        if peer["rtt_seconds"] is not None:
            rtt.add_metric(labels, peer["rtt_seconds"])
        received.add_metric(labels, peer["rx_bytes"])
        sent.add_metric(labels, peer["tx_bytes"])
        for reason, count in peer["drops"].items():
            drops.add_metric([*labels, reason], count)
    yield path
    yield rtt
    yield drops
    if traffic:
        yield from (received, sent)


def _forwards(forwards: Iterable[Mapping[str, Any]]) -> Iterator[Metric]:
    streams = GaugeMetricFamily(
        "toxvpn_forward_streams", "Connections that run now.", labels=["listen", "target", "road"]
    )
    drops = CounterMetricFamily(
        "toxvpn_forward_dropped_datagrams",
        "Datagrams of a UDP forward that were lost here.",
        labels=["listen", "target", "reason"],
    )
    for each in forwards:
        streams.add_metric([each["listen"], each["target"], each["road"]], each["streams"])
        for reason, count in each["drops"].items():
            drops.add_metric([each["listen"], each["target"], reason], count)
    yield from (streams, drops)


def _network(counters: Mapping[str, int]) -> Iterator[Metric]:
    for name, (metric, says) in NETWORK.items():
        yield CounterMetricFamily(metric, says, counters.get(name, 0))
    drops = {
        name.removeprefix(DROPPED): count for name, count in counters.items() if name.startswith(DROPPED)
    }
    yield _counter("toxvpn_datagrams_dropped", "Datagrams that the kernel would not send.", drops)


def _counter(name: str, says: str, by_reason: Mapping[str, int]) -> CounterMetricFamily:
    family = CounterMetricFamily(name, says, labels=["reason"])
    for reason, count in sorted(by_reason.items()):
        family.add_metric([reason], count)
    return family
