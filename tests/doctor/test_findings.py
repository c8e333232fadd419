"""The doctor's findings: how it judges each layer, and which one it names."""

import json
from dataclasses import replace

import pytest

from toxvpn.doctor.findings import Finding, Layer, State, document, make_report
from toxvpn.doctor.observations import (
    BootstrapSeen,
    LibrarySeen,
    NodesSeen,
    Observation,
    OwnStatusSeen,
    PortMappingSeen,
    PrivateStackSeen,
    ProxySeen,
    UdpSeen,
)
from toxvpn.doctor.peer_observations import (
    FriendRequestSeen,
    PathSeen,
    ProtocolSeen,
    RoadSeen,
    TargetSeen,
    VpnSeen,
)
from toxvpn.wire.socks5 import ReplyCode

ANSWERED = BootstrapSeen(asked=8, udp=7, tcp=6, path="none")
RELAYS = BootstrapSeen(asked=8, udp=0, tcp=6, path="tcp-relay")
SILENT = BootstrapSeen(asked=8, udp=0, tcp=0)

WELL: list[Observation] = [
    LibrarySeen(toxvpn="1.0", libtoxcore="libtoxcore 0.2.18"),
    PrivateStackSeen(None),
    NodesSeen(8, "the built-in list", addresses=8),
    ANSWERED,
    UdpSeen(ANSWERED),
    OwnStatusSeen("udp", 60.0),
    PortMappingSeen("203.0.113.5:40000", "PCP"),
    FriendRequestSeen(peer="box", online=True, waited_s=60.0),
    PathSeen("udp", 25.0),
    ProtocolSeen(toxvpn=True, wire=2, rtt_s=0.001),
    VpnSeen("toxvpn0", ("100.64.0.2", "fd74:6f78::2")),
    RoadSeen(name="fast", why="both sides have it", toxvpn=True),
    TargetSeen("localhost:22"),
]


def findings(*instead: Observation) -> list[Finding]:
    """Of a machine where all is well but for these, up to the first failure."""
    by_layer = {seen.finding().layer: seen.finding() for seen in (*WELL, *instead)}
    found: list[Finding] = []
    for layer in Layer:
        found.append(by_layer[layer])
        if by_layer[layer].state is State.FAILED:
            break
    return found


def test_all_is_well() -> None:
    made = make_report(findings(), {})
    assert made.problem is None and made.exit_code == 0
    assert [finding.layer for finding in made.findings] == list(Layer)
    assert {finding.state for finding in made.findings} == {State.OK}


FAILURES: list[tuple[Observation, str, int]] = [
    (NodesSeen(8, "nodes.json", ("node.example",), addresses=0), "nodes", 78),
    (SILENT, "bootstrap", 5),
    (OwnStatusSeen("none", 60.0), "own-status", 5),
    (FriendRequestSeen(peer="box", online=False, waited_s=60.0), "friend-request", 5),
    (PathSeen("none", 25.0), "path", 5),
    (ProtocolSeen(toxvpn=False), "protocol", 5),
    (VpnSeen("toxvpn0", ("100.64.0.2",), ("fd74:6f78::2",)), "vpn", 6),
    (TargetSeen("a:1", (ReplyCode.NOT_ALLOWED, "no rule allows it")), "target", 4),
    (TargetSeen("a:1", (ReplyCode.CONNECTION_REFUSED, "connection refused")), "target", 1),
    (TargetSeen("a:1", (ReplyCode.HOST_UNREACHABLE, "no such name")), "target", 1),
    (TargetSeen("a:1", (ReplyCode.TIMED_OUT, "no answer")), "target", 5),
]


@pytest.mark.parametrize(("seen", "layer", "code"), FAILURES, ids=lambda value: str(value)[:40])
def test_a_failed_layer_is_named_and_those_above_it_skipped(seen: Observation, layer: str, code: int) -> None:
    made = make_report(findings(seen), {})
    assert made.problem is not None
    assert (made.problem.layer.value, made.problem.state, made.exit_code) == (layer, State.FAILED, code)
    assert made.problem.fix
    above = made.findings[list(Layer).index(Layer(layer)) + 1 :]
    assert {finding.state for finding in above} <= {State.SKIPPED}


LIMITS: list[tuple[Observation, str]] = [
    (PrivateStackSeen("user namespaces are not allowed here: Operation not permitted"), "private-stack"),
    (UdpSeen(RELAYS), "udp"),
    (OwnStatusSeen("udp", None, ("TCP", "UDP")), "own-status"),
    (PathSeen("tcp-relay", 25.0), "path"),
    (PathSeen("tcp-relay", None, udp=False), "path"),
    (RoadSeen(name="tuntox", why="the peer does not offer the fast road", toxvpn=True), "road"),
]


@pytest.mark.parametrize(("seen", "layer"), LIMITS, ids=lambda value: str(value)[:40])
def test_a_limit_is_named_with_code_6_and_stops_nothing(seen: Observation, layer: str) -> None:
    made = make_report(findings(seen), {})
    assert made.problem is not None and made.problem.fix
    assert (made.problem.layer.value, made.exit_code) == (layer, 6)
    assert [finding.state for finding in made.findings].count(State.OK) == len(Layer) - 1


def test_a_failure_is_named_before_a_limit_below_it() -> None:
    made = make_report(findings(UdpSeen(RELAYS), TargetSeen("a:1", (ReplyCode.TIMED_OUT, "no answer"))), {})
    assert made.problem is not None and made.problem.layer is Layer.TARGET


def test_the_relay_only_of_a_blocked_udp_says_so() -> None:
    assert "TCP relays only" in UdpSeen(RELAYS).finding().detail


def test_who_is_on_the_network_has_found_a_node() -> None:
    """Nodes may have switched off to tell of themselves."""
    quiet = BootstrapSeen(asked=8, udp=0, tcp=0, path="udp")
    assert quiet.finding().state is State.OK and UdpSeen(quiet).finding().state is State.OK


def test_behind_a_proxy_a_relay_is_as_it_should_be() -> None:
    assert PathSeen("tcp-relay", None, udp=None).finding().state is State.OK
    assert ProxySeen("socks5://127.0.0.1:9050").finding().state is State.OK
    refused = ProxySeen("socks5://127.0.0.1:9050", "Connection refused").finding()
    assert (refused.layer, refused.state, refused.exit_code) == (Layer.BOOTSTRAP, State.FAILED, 5)
    assert "--proxy" in (refused.fix or "")


def test_a_tuntox_knows_one_road_only_and_that_is_no_fault() -> None:
    road = RoadSeen(name="tuntox", why="the peer is not a toxvpn", toxvpn=False).finding()
    assert (road.state, road.fix) == (State.OK, None)


@pytest.mark.parametrize(
    ("missing", "fix"),
    [
        (
            "user namespaces are not allowed here: sysctl kernel.unprivileged_userns_clone is 0",
            "kernel.unprivileged_userns_clone=1",
        ),
        (
            "user namespaces have no rights here: sysctl kernel.apparmor_restrict_unprivileged_userns is 1",
            "kernel.apparmor_restrict_unprivileged_userns=0",
        ),
        ("there is no TUN driver (/dev/net/tun: No such file or directory)", "--device /dev/net/tun"),
    ],
)
def test_the_way_to_a_private_stack_is_told(missing: str, fix: str) -> None:
    assert fix in (PrivateStackSeen(missing).finding().fix or "")


def test_the_rule_to_add_to_a_firewall_is_told() -> None:
    finding = VpnSeen("toxvpn1", (), ("100.64.0.2",)).finding()
    assert "firewall" in finding.detail and "`ufw allow in on toxvpn1`" in (finding.fix or "")


def test_a_narrow_path_is_named_and_no_fault() -> None:
    assert "1216 bytes" in PathSeen("udp", 25.0, mtu=1216).finding().detail
    assert PathSeen("udp", 25.0, mtu=1368).finding().detail == "direct"


def test_a_part_that_is_off_is_told_and_no_fault() -> None:
    off = {"clock": "TOXVPN_CLOCK=off"}
    seen = LibrarySeen(toxvpn="1.0", libtoxcore="libtoxcore 0.2.18", off=off).finding()
    assert seen.state is State.OK and "clock is not in force: TOXVPN_CLOCK=off" in seen.detail


def test_a_flaw_is_told_and_limits_only_where_no_shield_stands() -> None:
    flawed = LibrarySeen(toxvpn="1.0", libtoxcore="libtoxcore 0.2.20: flawed", shield="in force: so")
    seen = flawed.finding()
    assert seen.state is State.OK and "0.2.20: flawed; the shield is in force: so" in seen.detail
    exposed = replace(flawed, shield="not in force: TOXVPN_SOCKETS=off", exposed=True).finding()
    assert (exposed.state, exposed.exit_code) == (State.LIMITED, 6)
    assert "TOXVPN_SOCKETS=off" in (exposed.fix or "")


def test_a_kernel_that_corrupts_batches_limits_only_who_asks_for_them() -> None:
    well = LibrarySeen(toxvpn="1.0", libtoxcore="libtoxcore 0.2.18")
    without = replace(well, bad_segmentation="Linux 7.0.3: it", segmentation=False).finding()
    assert without.state is State.OK and "Linux 7.0.3: it: datagrams are sent one by one" in without.detail
    asked_for = replace(well, bad_segmentation="Linux 7.0.3: it").finding()
    assert asked_for.state is State.LIMITED and "udp_segmentation" in (asked_for.fix or "")


def test_a_router_that_maps_no_port_is_no_fault() -> None:
    seen = PortMappingSeen(problem="the router speaks neither PCP nor NAT-PMP nor UPnP").finding()
    assert seen.state is State.OK and seen.detail.startswith("none: the router")
    mapped = PortMappingSeen("203.0.113.5:40000", "PCP").finding()
    assert mapped.detail == "the router passes on UDP from 203.0.113.5:40000 (PCP)"


def test_without_a_secret_the_advice_is_to_give_one() -> None:
    seen = FriendRequestSeen(peer="box", online=False, waited_s=None, secret=False).finding()
    assert "--secret-file" in (seen.fix or "") and "yet" in seen.detail


def test_what_nobody_asked_for_is_skipped_with_the_reason() -> None:
    made = make_report(findings()[:7], {Layer.TARGET: "no target was given"})
    assert made.exit_code == 0
    assert made.findings[-1].detail == "no target was given"


def test_the_document() -> None:
    made = make_report(findings(FriendRequestSeen(peer="box", online=False, waited_s=60.0)), {})
    written = json.loads(json.dumps(document(made)))
    assert list(written) == ["schema", "ok", "problem", "exit_code", "layers"]
    assert (written["schema"], written["ok"], written["problem"], written["exit_code"]) == (
        1,
        False,
        "friend-request",
        5,
    )
    assert [each["layer"] for each in written["layers"]] == [layer.value for layer in Layer]
    assert {tuple(each) for each in written["layers"]} == {("layer", "status", "detail", "fix", "seconds")}
    assert {each["status"] for each in written["layers"]} == {"ok", "failed", "skipped"}
