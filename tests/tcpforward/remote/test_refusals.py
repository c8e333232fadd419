"""Each refusal of the server is a line that says what to do."""

import pytest

from toxvpn.tcpforward.remote.refusals import explain, rule_for
from toxvpn.tcpforward.remote.rules import parse_listen_rules
from toxvpn.tcpforward.remote.spec import parse_remote_listen
from toxvpn.wire.remotelisten import ListenProtocol, ListenRefusal


@pytest.mark.parametrize(
    "listen", ["8080", "0", "*:8080", "*:0", "10.0.0.5:8080", "[::1]:8080", "80", "udp/53", "udp/*:0"]
)
def test_the_rule_that_it_names_allows_it(listen: str) -> None:
    wanted = parse_remote_listen(listen)
    rules = parse_listen_rules([rule_for(wanted)])
    protocol = ListenProtocol(wanted.transport)
    assert all(rules.allow(address, wanted.port, protocol) for address in wanted.addresses)


def test_the_narrowest_rule() -> None:
    assert rule_for(parse_remote_listen("8080")) == "8080"
    assert rule_for(parse_remote_listen("[::1]:8080")) == "[::1]:8080"
    assert rule_for(parse_remote_listen("0")) == "localhost:*"


@pytest.mark.parametrize("code", [*ListenRefusal, "full-moon"])
def test_each_refusal_has_its_words(code: str) -> None:
    line = explain(code, "box", parse_remote_listen("8080"))
    assert line.startswith("box ") and "127.0.0.1:8080, [::1]:8080" in line
    assert (code in line) is (code == "full-moon")
