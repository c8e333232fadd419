"""The rights of a friend: the table "Who may do what" of docs/configuration.md, row by row."""

from pathlib import Path

import pytest

from toxvpn.config.access import (
    Known,
    checked_allow,
    may_listen,
    may_reach,
    may_speed,
    offered,
    on_network,
    reach,
)
from toxvpn.config.diff import InForce
from toxvpn.config.file import parse
from toxvpn.config.policy import policy
from toxvpn.errors import UsageError
from toxvpn.members.friends import Grant
from toxvpn.members.peers import ALL, NETWORK, May
from toxvpn.testing.options import server_options

BOX, X = bytes([7]) * 32, bytes([8]) * 32
FORWARDS = frozenset({May.FORWARDS})
PEER = f'[peers.box]\nid = "{BOX.hex()}"\n'
ADVERTISED = '[vpn]\nadvertise = ["192.168.10.0/24"]\n'
LISTED = f'[server]\nwhitelist = ["{X.hex()}"]\n'


def in_force(text: str, directory: Path) -> InForce:
    config = parse(text, directory / "config.toml")
    return InForce(config, policy(config, directory))


def serves(now: InForce, friend: Known) -> bool:
    return may_reach(now, friend).allows("localhost", 22)


@pytest.mark.parametrize(
    ("grant", "may", "serves_it"),
    [
        (Grant.SECRET, None, True),
        (Grant.PEER, NETWORK, False),  # `peer add`: whom we call
        (Grant.PEER, ALL, True),
        (Grant.PEER, FORWARDS, True),
        (Grant.INVITE, NETWORK, False),
        (Grant.INVITE, FORWARDS, True),
        (Grant.ACCEPT, FORWARDS, True),
        (None, None, False),
    ],
)
def test_a_server_with_a_secret(
    tmp_path: Path, grant: Grant | None, may: frozenset[May] | None, serves_it: bool
) -> None:
    assert serves(in_force("[server]\n", tmp_path), Known(BOX, grant, may)) is serves_it


def test_an_open_server_is_open(tmp_path: Path) -> None:
    assert serves(in_force("[server]\nopen = true\n", tmp_path), Known(BOX, Grant.PEER, NETWORK))


@pytest.mark.parametrize("may", [None, ALL, FORWARDS, NETWORK])
@pytest.mark.parametrize("grant", list(Grant))
def test_only_the_listed_ones_are_served(tmp_path: Path, grant: Grant, may: frozenset[May] | None) -> None:
    """Also not who was kept, invited or accepted before."""
    now = in_force(LISTED, tmp_path)
    assert not serves(now, Known(BOX, grant, may))
    assert serves(now, Known(X, grant, may))


def test_with_i_the_kept_and_configured_ones_are_not_served(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text(f'[server]\n{PEER}allow = ["localhost:22"]\n')
    config = server_options(directory=tmp_path, config_file=file, whitelist=frozenset({X})).config
    now = InForce(config, policy(config, tmp_path))
    assert not serves(now, Known(BOX, Grant.PEER, ALL))
    assert serves(now, Known(X, Grant.WHITELIST))


def test_a_listed_key_has_to_prove_the_secret_where_there_is_one(tmp_path: Path) -> None:
    (tmp_path / "s").touch(0o600)
    (tmp_path / "s").write_text("a secret that nobody guesses")
    now = in_force(LISTED + 'secret_file = "s"\n', tmp_path)
    assert serves(now, Known(X, Grant.SECRET))
    assert not serves(now, Known(X, Grant.PEER, NETWORK))


@pytest.mark.parametrize(
    ("text", "serves_it"),
    [
        (f"[server]\n{PEER}", True),
        (f"[server]\n{PEER}allow = []", False),
        (f'{PEER}allow = ["localhost:22"]', True),
        (PEER, False),
        (f"{LISTED}{PEER}", False),
        (f'{LISTED}{PEER}allow = ["localhost:22"]', True),
    ],
)
def test_a_peer_of_the_file(tmp_path: Path, text: str, serves_it: bool) -> None:
    assert serves(in_force(text, tmp_path), Known(BOX, Grant.PEER)) is serves_it


@pytest.mark.parametrize(
    ("text", "friend", "belongs"),
    [
        ("[vpn]\n", Known(BOX, Grant.PEER, NETWORK), True),
        ("[vpn]\n", Known(BOX, Grant.INVITE, FORWARDS), False),
        ("[vpn]\n", Known(BOX, Grant.SECRET), True),  # of `up`: there is nothing else to come for
        ("[vpn]\n[server]\n", Known(BOX, Grant.SECRET), False),
        ("[vpn]\n[server]\n", Known(BOX, Grant.INVITE, FORWARDS), False),
        ("[vpn]\n[server]\n", Known(BOX, Grant.INVITE, ALL), True),
        (f"[vpn]\n{PEER}", Known(BOX, Grant.PEER), True),
        (f"[vpn]\n{PEER}allow = []", Known(BOX, Grant.PEER, ALL), True),
        (f"[vpn]\n{PEER}vpn = false", Known(BOX, Grant.PEER, ALL), False),
    ],
)
def test_who_is_on_the_network(tmp_path: Path, text: str, friend: Known, belongs: bool) -> None:
    assert on_network(in_force(text, tmp_path), friend) is belongs


@pytest.mark.parametrize(
    ("text", "what"),
    [("[server]", FORWARDS), ("[vpn]", NETWORK), ("[server]\n[vpn]", ALL), ("", frozenset())],
)
def test_what_is_offered(tmp_path: Path, text: str, what: frozenset[May]) -> None:
    assert offered(parse(text, tmp_path / "config.toml")) == what


@pytest.mark.parametrize(
    ("text", "friend", "may"),
    [
        ("[server]", Known(BOX, Grant.SECRET), False),
        ("[server]\nopen = true", Known(BOX, Grant.OPEN), False),
        ("[server]\nallow_speed = true", Known(BOX, Grant.SECRET), True),
        ("[server]", Known(BOX, Grant.PEER, NETWORK), True),
        ("[server]", Known(BOX, Grant.INVITE, FORWARDS), True),
        ("[server]", Known(BOX, Grant.INVITE, frozenset()), False),
        ("[server]\nallow_speed = false", Known(BOX, Grant.PEER, ALL), False),
        (LISTED, Known(X, Grant.WHITELIST), True),
        (LISTED, Known(BOX, Grant.SECRET), False),
        ("[vpn]", Known(BOX, Grant.SECRET), True),  # of `up`: it is on the network
        ("[vpn]", Known(BOX, Grant.INVITE, FORWARDS), True),
        ("[vpn]\n[server]", Known(BOX, Grant.SECRET), False),
        (f"[server]\n{PEER}", Known(BOX, Grant.PEER), True),
        (f"[server]\nallow_speed = false\n{PEER}", Known(BOX, Grant.PEER), False),
        (f"[server]\nallow_speed = false\n{PEER}allow_speed = true", Known(BOX, Grant.PEER), True),
        (f"[vpn]\n{PEER}allow_speed = false", Known(BOX, Grant.PEER, ALL), False),
    ],
)
def test_who_may_test_the_speed(tmp_path: Path, text: str, friend: Known, may: bool) -> None:
    assert may_speed(in_force(text, tmp_path), friend) is may


# -- `allow`, on both roads

SSH = ("localhost:22",)
ICMP = ("icmp",)


@pytest.mark.parametrize(
    ("text", "friend", "lines"),
    [
        ("[vpn]", Known(BOX, Grant.PEER, NETWORK), None),  # `up --peer`, `peer add`, `join`
        ("[vpn]", Known(BOX, Grant.SECRET), None),
        ("[vpn]", Known(BOX, Grant.INVITE, ALL, closed=True), []),
        ("[vpn]", Known(BOX, Grant.INVITE, ALL, (), closed=True), []),
        ("[vpn]", Known(BOX, Grant.ACCEPT, ALL, ICMP, closed=True), ["icmp"]),
        ("[vpn]", Known(BOX, Grant.INVITE, ALL), None),  # let in by a version without `allow`
        (f"[vpn]\n{PEER}", Known(BOX, Grant.PEER), None),
        (f"[vpn]\n{PEER}allow = []", Known(BOX, Grant.PEER), []),
        (f'[vpn]\n{PEER}allow = ["udp/*:53", "icmp"]', Known(BOX, Grant.PEER), ["udp/*:53", "icmp"]),
        (f'[vpn]\n{PEER}allow = ["*.lan:80"]', Known(BOX, Grant.PEER), []),
        (
            f"[vpn]\n{PEER}",
            Known(BOX, Grant.INVITE, ALL, closed=True),
            None,
        ),  # its section overrides what is kept
        (f"[vpn]\n{PEER}allow = []", Known(BOX, Grant.INVITE, ALL, SSH), []),
        ('[vpn]\n[server]\nallow = ["localhost:22"]', Known(BOX, Grant.PEER, ALL), None),
        # others lie behind this machine: what those begin is answered, so that even this takes a filter
        (ADVERTISED, Known(BOX, Grant.PEER, NETWORK), ["localhost:*"]),
        (f"{ADVERTISED}{PEER}", Known(BOX, Grant.PEER), ["localhost:*"]),
        (ADVERTISED, Known(BOX, Grant.INVITE, ALL, closed=True), []),
        (f'{ADVERTISED}{PEER}allow = ["192.168.10.0/24:80"]', Known(BOX, Grant.PEER), ["192.168.10.0/24:80"]),
    ],
)
def test_what_it_may_reach_over_the_vpn(
    tmp_path: Path, text: str, friend: Known, lines: list[str] | None
) -> None:
    rules = reach(in_force(text, tmp_path), friend)
    assert (None if rules is None else list(rules.on_network().values())) == lines


@pytest.mark.parametrize(
    ("server", "allow", "targets"),
    [
        ("", None, [22, 80]),
        ("", (), []),
        ("", SSH, [22]),
        ("", ("udp/localhost:22",), []),
        ('allow = ["localhost:22", "localhost:80"]', SSH, [22]),
        ('allow = ["localhost:80"]', SSH, []),  # what [server] does not allow, no invite can
    ],
)
def test_a_kept_allow_limits_forwards_too(
    tmp_path: Path, server: str, allow: tuple[str, ...] | None, targets: list[int]
) -> None:
    rules = may_reach(
        in_force(f"[server]\n{server}", tmp_path), Known(BOX, Grant.INVITE, ALL, allow, closed=True)
    )
    assert [port for port in (22, 80) if rules.allows("localhost", port)] == targets


def test_a_damaged_rule_in_the_record_allows_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rules = reach(in_force("[vpn]", tmp_path), Known(BOX, Grant.INVITE, ALL, ("damaged", "icmp")))
    assert rules is not None and list(rules.on_network().values()) == ["icmp"]
    assert "peers.json: 'damaged': the port is missing" in caplog.text


def test_what_is_typed_is_checked() -> None:
    assert checked_allow([" localhost:22", "icmp"]) == ("localhost:22", "icmp")
    for wrong in ("", "# icmp", "localhost", "icmp\nlocalhost:22"):
        with pytest.raises(UsageError, match="rule "):
            checked_allow([wrong])


# -- allow_listen ---------------------------------------------------------------------------------

LISTENS = '[server]\nallow_listen = ["8080"]\n'


def listens(now: InForce, friend: Known) -> str:
    return " ".join(rule.line for rule in may_listen(now, friend).rules)


@pytest.mark.parametrize(
    ("grant", "may", "allowed"),
    [
        (Grant.SECRET, None, "8080"),
        (Grant.PEER, ALL, ""),
        (Grant.INVITE, FORWARDS, ""),
        (Grant.ACCEPT, ALL, ""),
        (Grant.PEER, NETWORK, ""),
        (None, None, ""),
    ],
)
def test_the_server_listens_for_those_who_came_by_its_terms(
    tmp_path: Path, grant: Grant | None, may: frozenset[May] | None, allowed: str
) -> None:
    assert listens(in_force(LISTENS, tmp_path), Known(BOX, grant, may)) == allowed


@pytest.mark.parametrize("grant", list(Grant))
def test_without_allow_listen_it_listens_for_nobody(tmp_path: Path, grant: Grant) -> None:
    assert listens(in_force("[server]\n" + PEER, tmp_path), Known(BOX, grant, ALL)) == ""


def test_a_section_has_its_own_or_that_of_the_server(tmp_path: Path) -> None:
    friend = Known(BOX, Grant.PEER)
    assert listens(in_force(LISTENS + PEER, tmp_path), friend) == "8080"
    assert listens(in_force(LISTENS + PEER + 'allow_listen = ["*:9"]\n', tmp_path), friend) == "*:9"
    assert listens(in_force(LISTENS + PEER + "allow_listen = []\n", tmp_path), friend) == ""
    assert listens(in_force(LISTENS + PEER + "allow = []\n", tmp_path), friend) == ""
    assert listens(in_force(PEER + 'allow_listen = ["9"]\n', tmp_path), friend) == "9"
    assert listens(in_force(LISTENS + PEER, tmp_path), Known(X, Grant.PEER)) == ""


def test_whom_the_whitelist_leaves_out_has_nobody_listen(tmp_path: Path) -> None:
    now = in_force(LISTED + 'allow_listen = ["8080"]\n', tmp_path)
    assert listens(now, Known(X, Grant.WHITELIST)) == "8080"
    assert listens(now, Known(BOX, Grant.SECRET)) == ""
