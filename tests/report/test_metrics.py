"""Metrics: what the states come to, and that docs/metrics.md has every name."""

import re
from dataclasses import replace
from pathlib import Path

from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from toxvpn._native.net import netio
from toxvpn.control.status import RunStatus, document
from toxvpn.report.metrics import DROPPED, NETWORK, Counted, text
from toxvpn.testing.fake_status import ALICE, busy, idle

DOCS = Path(__file__).parents[2] / "docs" / "metrics.md"
VERSIONS = {"version": "1.0", "libtoxcore": "0.2.18"}


def families(status: RunStatus, counted: Counted | None = None) -> dict[str, Metric]:
    made = text(document(status), counted or Counted(versions=VERSIONS))
    return {family.name: family for family in text_string_to_metric_families(made)}


def value(family: Metric, **labels: str) -> float:
    [found] = [sample.value for sample in family.samples if labels.items() <= sample.labels.items()]
    return float(found)


def test_one_of_everything() -> None:
    counted = Counted(
        versions=VERSIONS,
        network={"sent": 7, "dropped_denied": 2},
        refused={"unknown key": 3},
        tunnel_drops={"unknown_tunnel": 4},
        tasks=17,
    )
    found = families(busy(), counted)
    alice = {"public_key": ALICE.hex().upper(), "name": "alice"}
    assert value(found["toxvpn_build_info"], version="1.0", libtoxcore="0.2.18", mode="up") == 1
    assert value(found["toxvpn_tasks"]) == 17
    assert value(found["toxvpn_connection"], path="udp") == 1
    assert value(found["toxvpn_connection"], path="tcp-relay") == 0
    assert value(found["toxvpn_port_mapping"], protocol="PCP") == 1
    assert value(found["toxvpn_port_mapping"], protocol="UPnP") == 0
    assert value(found["toxvpn_port_mapping_dropped"], reason="elsewhere") == 6
    assert value(found["toxvpn_peer_connection"], **alice, path="udp") == 1
    assert value(found["toxvpn_peer_connection"], name="bob", path="tcp-relay") == 1
    assert value(found["toxvpn_peer_received_bytes"], **alice) == 1_234_567
    assert value(found["toxvpn_peer_sent_bytes"], **alice) == 89
    assert value(found["toxvpn_peer_dropped_packets"], **alice, reason="wrong source") == 40
    assert value(found["toxvpn_peer_round_trip_seconds"], **alice) == 0.00042
    assert value(found["toxvpn_dropped_packets"], reason="no route") == 2
    assert value(found["toxvpn_forward_streams"], listen="127.0.0.1:8080", road="fast") == 2
    assert value(found["toxvpn_forward_dropped_datagrams"], target="localhost:53", reason="no_room") == 7
    assert value(found["toxvpn_friend_requests_refused"], reason="unknown key") == 3
    assert value(found["toxvpn_friend_requests_pending"]) == 1
    assert value(found["toxvpn_tunnel_dropped_packets"], reason="unknown_tunnel") == 4
    assert value(found["toxvpn_datagrams_sent"]) == 7
    assert value(found["toxvpn_datagrams_dropped"], reason="denied") == 2
    assert value(found["process_start_time_seconds"]) > 0


def test_traffic_is_counted_only_where_it_passes_through_us() -> None:
    status = replace(busy(), own=idle().own)  # no device
    assert "toxvpn_peer_received_bytes" not in families(status)


def test_a_name_of_the_peers_choice_cannot_break_the_text() -> None:
    found = families(busy(), Counted(versions=VERSIONS, refused={'a "quote"\n\\': 1}))
    assert value(found["toxvpn_friend_requests_refused"], reason='a "quote"\n\\') == 1


def test_every_counter_of_the_network_has_its_metric() -> None:
    assert {name for name in netio.counters() if not name.startswith(DROPPED)} == set(NETWORK)


def test_the_documentation_has_every_name_and_no_other() -> None:
    counted = Counted(versions=VERSIONS, network=netio.counters())
    made = text(document(busy()), counted)
    named = set(re.findall(r"^# TYPE (\S+)", made, re.MULTILINE))
    written = set(re.findall(r"^\| `([a-z_]+)`", DOCS.read_text(), re.MULTILINE))
    assert {name for name in named if name.startswith("toxvpn_")} == written
