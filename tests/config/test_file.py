"""Every key of config.toml is read, and every mistake is named with file, key and expected form."""

import re
from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toxvpn.config.file import load, parse
from toxvpn.config.model import SECTIONS, Config
from toxvpn.errors import ConfigError
from toxvpn.tcpforward.spec import Listen, Target
from toxvpn.wire.toxid import ToxId

PATH = Path("/etc/toxvpn/config.toml")
KEY, OTHER = bytes(range(32)), bytes(range(32, 64))
ID = str(ToxId(KEY, b"\1\2\3\4"))

WHOLE = f"""
[node]
nodes_file = "nodes.json"
udp_ports = "20000:20100"
tcp_port = 0

[server]
secret_file = "/run/secret"
whitelist = ["{OTHER.hex()}"]
allow = ["localhost:22", "10.0.0.0/8:0"]

[vpn]
name = "here"
address = "10.9.8.7/24"
mtu = 1280
interface = "tox1"
offload = false

[peers.box]
id = "{ID}"
secret_file = "box.secret"
allow = []
vpn = false

[peers.other]
id = "{OTHER.hex()}"
address = "10.9.8.6"

[[forwards]]
peer = "box"
listen = "2222"
target = "[::1]:22"

[[socks]]
peer = "box"
listen = "*:1080"
"""


def test_everything() -> None:
    config = parse(WHOLE, PATH)
    assert config.node.nodes_file == Path("/etc/toxvpn/nodes.json")
    assert (config.node.udp_ports, config.node.tcp_port) == ((20000, 20100), 0)
    assert config.server is not None and config.server.allow is not None
    assert config.server.secret_file == Path("/run/secret")
    assert config.server.whitelist == {OTHER}
    assert config.server.allow.allows("localhost", 22) and not config.server.allow.allows("localhost", 23)
    assert config.vpn is not None
    assert config.vpn.address == IPv4Interface("10.9.8.7/24")
    assert (config.vpn.name, config.vpn.mtu, config.vpn.interface) == ("here", 1280, "tox1")
    assert not config.vpn.offload
    box = config.peers["box"]
    assert (box.public_key, box.nospam, box.vpn) == (KEY, b"\1\2\3\4", False)
    assert box.secret_file == Path("/etc/toxvpn/box.secret")
    assert box.allow is not None and not box.allow.allows("localhost", 22)
    assert (config.peers["other"].public_key, config.peers["other"].nospam) == (OTHER, None)
    assert config.peers["other"].allow is None and config.peers["other"].vpn
    assert config.peers["other"].address == IPv4Address("10.9.8.6") and box.address is None
    forward, socks = config.forwards
    assert (forward.peer, forward.target) == ("box", Target("::1", 22))
    assert forward.listen == Listen(("127.0.0.1", "::1"), 2222)
    assert socks.target is None and socks.listen == Listen(("0.0.0.0", "::"), 1080)
    assert config.given["server.secret_file"] == "/run/secret"
    assert config.given["peers.box.secret_file"] == "/etc/toxvpn/box.secret"


def test_a_proxy() -> None:
    config = parse('[node]\nproxy = "socks5://127.0.0.1:9050"\ntcp_port = 0', PATH)
    assert str(config.node.proxy) == "socks5://127.0.0.1:9050"


def test_the_example_of_the_documentation_has_every_key() -> None:
    page = (Path(__file__).parents[2] / "docs" / "configuration.md").read_text()
    (example,) = re.findall(r"^```toml\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    config = parse(example, PATH)
    assert config.server is not None and config.vpn is not None and len(config.forwards) == 2
    for section in SECTIONS:
        name = section.name.replace("NAME", "box").replace("[N]", "[1]")
        for key in section.keys:
            assert f"{name}.{key}" in config.given or f"# {key} = " in example, f"{name}.{key}"
            if (name, key) == ("node", "proxy"):
                parse("[node]\n" + re.search(r"^# (proxy = .*)$", example, re.MULTILINE)[1], PATH)  # type: ignore[index]


def test_an_empty_file_switches_nothing_on() -> None:
    assert parse("", PATH) == Config(path=PATH)


def test_a_section_without_keys_switches_its_part_on() -> None:
    config = parse("[server]\n[vpn]\n", PATH)
    assert config.server is not None and config.vpn is not None


@pytest.mark.parametrize(("text", "meant"), [("auto", None), ("on", True), ("off", False)])
def test_udp_segmentation(text: str, meant: bool | None) -> None:
    assert parse(f'[node]\nudp_segmentation = "{text}"', PATH).node.udp_segmentation is meant


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[server", "not TOML"),
        ("[serve]", "serve is unknown: did you mean 'server'?"),
        ("[server]\nallows = []", "server.allows is unknown: did you mean 'allow'?"),
        ("server = 1", "server: must be a table: [server]"),
        ('[server]\nopen = "yes"', "server.open: must be true or false, not 'yes'"),
        ("[server]\nopen = true\nsecret_file = 's'", "server.open: it lets everybody in"),
        ('[server]\nwhitelist = ["12"]', "server.whitelist:"),
        ('[server]\nallow = ["localhost"]', "server.allow:"),
        (
            '[node]\nnodes_file = "~no-such-user/nodes"',
            "node.nodes_file: the home directory of ~no-such-user is not known: write the whole path",
        ),
        ("[node]\ntcp_port = 70000", "node.tcp_port: 70000 is out of range: 0 to 65535"),
        (
            '[node]\nudp_segmentation = "yes"',
            'node.udp_segmentation: must be "auto", "on" or "off", not \'yes\'',
        ),
        ("[node]\nudp_segmentation = true", 'node.udp_segmentation: must be "auto", "on" or "off", not True'),
        ("[node]\ntcp_port = true", "node.tcp_port: must be a port number, or 0 for no relay, not True"),
        (
            '[node]\nudp_ports = "9:1"',
            "node.udp_ports: must be FIRST:LAST, two port numbers from 1 to 65535, not '9:1'",
        ),
        (
            '[node]\nudp_ports = "a"',
            "node.udp_ports: must be FIRST:LAST, two port numbers from 1 to 65535, not 'a'",
        ),
        (
            '[node]\nudp_ports = "1:"',
            "node.udp_ports: must be FIRST:LAST, two port numbers from 1 to 65535, not '1:'",
        ),
        ('[vpn]\naddress = "10.0.0"', "vpn.address:"),
        ('[vpn]\noffload = "no"', "vpn.offload: must be true or false, not 'no'"),
        ("[vpn]\nmtu = 9000", "vpn.mtu: 9000 is out of range: 576 to 1368"),
        ('[vpn]\ninterface = "a/b"', "vpn.interface:"),
        (
            '[vpn]\naddress = "224.0.0.1"',
            "vpn.address: 224.0.0.1 cannot be a host's address; give one such as 10.9.8.7/24",
        ),
        (
            '[node]\nproxy = "http://a:1"\nudp_ports = "1:2"',
            "node.proxy: all traffic goes through it: leave out udp_ports",
        ),
        ('[node]\nproxy = "tor"', "node.proxy: expected socks5://"),
        ("[node]\nnodes_file = 3", "node.nodes_file: must be a file name, not 3"),
        ("[peers.box]", "peers.box.id: it is missing; expected a Tox ID"),
        (f'[peers.box]\nid = "{ID[:-1]}0"', "peers.box.id:"),
        ('[peers."a b"]\nid = "x"', "peers.a b:"),
        ("peers = []", "peers: must be a table: [peers]"),
        ('[[forwards]]\nlisten = "1"\ntarget = "a:1"', "forwards[1].peer: it is missing"),
        (
            '[[forwards]]\npeer = "x"\nlisten = "1"\ntarget = "a:1"',
            "forwards[1].peer: there is no [peers.x]; the file defines no peers",
        ),
        ('[[socks]]\npeer = "x"\nlisten = "1"\ntarget = "a:1"', "socks[1].target is unknown"),
        ("forwards = 3", "forwards: must be a list of tables: [[forwards]]"),
        (
            f'[peers.a]\nid = "{OTHER.hex()}"\n[peers.A]\nid = "{KEY.hex()}"',
            "peers.A: it differs from 'a' in case only",
        ),
        *(
            (f'[peers.a]\nid = "{ID}"\naddress = "{address}"', "peers.a.address: ")
            for address in ("9.9.9.9", "10.9.8.0/24", "127.0.0.1", "fd00::1", "")
        ),
        (
            f'[peers.a]\nid = "{ID}"\naddress = "10.9.8.6"\n'
            f'[peers.b]\nid = "{OTHER.hex()}"\naddress = "10.9.8.6"',
            "peers.b.address: peers.a has it too: choose another",
        ),
        (
            f'[peers.a]\nid = "{ID}"\n[peers.b]\nid = "{KEY.hex()}"',
            "peers.b.id: peers.a has it too: give a peer one section",
        ),
        (
            f'[peers.a]\nid = "{ID}"\n[[forwards]]\npeer = "a"\nlisten = 80\ntarget = "b:1"\n'
            '[[socks]]\npeer = "a"\nlisten = "80"',
            "socks[1].listen: forwards[1] listens there too: choose another",
        ),
        (
            f'[peers.o]\nid = "{OTHER.hex()}"\n[[socks]]\npeer = "o"\nlisten = 1080',
            "socks[1].peer: [peers.o] has only a public key; give its Tox ID",
        ),
    ],
)
def test_mistakes_are_named(text: str, problem: str) -> None:
    with pytest.raises(ConfigError) as wrong:
        parse(text, PATH)
    message = str(wrong.value)
    assert message.startswith(f"{PATH}: ") and problem in message
    assert "\n" not in message and message.count("expected") <= 1


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"none\.toml: the configuration cannot be read: No such file or dir"
    ):
        load(tmp_path / "none.toml")
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="cannot be read"):
        load(tmp_path / "binary")


SCALARS = st.none() | st.booleans() | st.integers(-10, 1 << 70) | st.text(max_size=5)


@given(
    st.sampled_from(["node", "server", "vpn", "peers.x"]),
    st.sampled_from(["udp_ports", "tcp_port", "allow", "whitelist", "open", "mtu", "id", "address", "name"]),
    SCALARS | st.lists(SCALARS, max_size=2),
)
def test_any_value_gives_a_config_or_a_config_error(section: str, key: str, value: object) -> None:
    def toml(value: object) -> str:
        if isinstance(value, bool):
            return str(value).lower()
        if isinstance(value, int):
            return str(value)
        if isinstance(value, list):
            return "[" + ", ".join(map(toml, value)) + "]"
        text = "" if value is None else str(value)
        return (
            '"'
            + "".join(f"\\U{ord(letter):08x}" for letter in text if not 0xD800 <= ord(letter) < 0xE000)
            + '"'
        )

    try:
        parse(f"[{section}]\n{key} = {toml(value)}\n", PATH)
    except ConfigError as wrong:
        assert "\n" not in str(wrong)


@pytest.mark.parametrize(("more", "on_network"), [("", True), ("allow = []", True), ("vpn = false", False)])
def test_a_peer_is_on_the_network_unless_told(more: str, on_network: bool) -> None:
    config = parse(f'[peers.box]\nid = "{KEY.hex()}"\n{more}', PATH)
    assert config.peers["box"].vpn is on_network
