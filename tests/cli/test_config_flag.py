"""config.toml beneath the flags: which file, what is in force, and peers by their names."""

from collections.abc import Callable
from ipaddress import IPv4Interface
from pathlib import Path
from typing import Any

import pytest

from toxvpn.cli.config_flag import may_exist
from toxvpn.config import file
from toxvpn.config.flags import DaemonOptions
from toxvpn.config.model import Config
from toxvpn.config.options import ClientOptions
from toxvpn.members import peers
from toxvpn.members.peers import ConfiguredPeer
from toxvpn.process.needs import needs
from toxvpn.testing.options import server_options, up_options
from toxvpn.tox.proxy import Proxy

from .config_example import BOX, NAS

PROXY = '[node]\nproxy = "socks5://127.0.0.1:9050"\n'


def of_the_file(directory: Path) -> dict[str, Any]:
    return {
        "config_file": directory / "config.toml",
        "nodes_file": directory / "nodes.json",
        "udp_ports": (20000, 20100),
        "tcp_port": 3389,
        "udp_segmentation": False,
        "lan_discovery": False,
        "port_mapping": False,
        "keep_streams": 8 * 3600,
    }


Make = Callable[..., DaemonOptions]

RUNS: list[tuple[list[str], Make, dict[str, Any]]] = [
    ([], server_options, {}),
    (["-b", "other.json"], server_options, {"nodes_file": Path("other.json")}),
    (["-u", "7:8", "-t", "0"], server_options, {"udp_ports": (7, 8), "tcp_port": 0}),
    (["--open"], server_options, {"open": True}),
    (["up"], up_options, {}),
    (["up", "-u", "7", "--mtu", "1300"], up_options, {"udp_ports": (7, 7), "mtu": 1300}),
    (["up", "--address", "10.9.8.7/24"], up_options, {"address": IPv4Interface("10.9.8.7/24")}),
    (["up", "--peer", "box"], up_options, {"peers": (ConfiguredPeer(bytes(range(32))),)}),
]


@pytest.mark.parametrize(("flags", "kind", "expected"), RUNS, ids=[" ".join(flags) for flags, *_ in RUNS])
def test_flags_go_before_the_file(
    toxvpn: Any,
    config: Path,
    flags: list[str],
    kind: Make,
    expected: dict[str, Any],
) -> None:
    ran = toxvpn("-C", config, *flags)
    assert ran.code == 0
    left = "[server]" if kind is up_options else "[vpn]"
    assert ran.err == f"INFO: {left} is left out here: `toxvpn run` does all of {config}/config.toml\n"
    assert ran.options == kind(**({"directory": config} | of_the_file(config) | expected))


@pytest.mark.parametrize("verb", [[], ["up"], ["run"]])
def test_another_file(
    toxvpn: Any, config: Path, tmp_path_factory: pytest.TempPathFactory, verb: list[str]
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    ran = toxvpn(*verb, "-C", elsewhere, "--config", config / "config.toml", "-q")
    assert (ran.code, ran.err) == (0, "")
    assert ran.options.source.file == config / "config.toml"
    assert ran.options.directory == elsewhere and ran.options.nodes_file == config / "nodes.json"


@pytest.mark.parametrize("verb", [[], ["up"], ["run"], ["config", "check"], ["config", "show"]])
def test_a_file_that_is_asked_for_must_be_there(toxvpn: Any, tmp_path: Path, verb: list[str]) -> None:
    ran = toxvpn(*verb, "--config", tmp_path / "none.toml")
    assert (ran.code, ran.out, ran.started) == (78, "", [])
    assert "none.toml: the configuration cannot be read: No such file" in ran.err


@pytest.mark.parametrize("verb", [[], ["up"], ["run"], ["-i", "box", "-p"], ["config", "check"]])
def test_a_mistake_in_it_stops_every_run(toxvpn: Any, tmp_path: Path, verb: list[str]) -> None:
    (tmp_path / "config.toml").write_text("[server]\nopn = true")
    ran = toxvpn("-C", tmp_path, *verb)
    assert (ran.code, ran.started) == (78, [])
    assert ran.err == f"toxvpn: {tmp_path}/config.toml: server.opn is unknown: did you mean 'open'?\n"


def test_the_proxy_of_the_file_is_everybodys(toxvpn: Any, tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(PROXY)
    own, typed = Proxy("socks5", "127.0.0.1", 9050), Proxy("http", "127.0.0.1", 8080)
    for words in ([], ["up"], ["-i", str(BOX), "-p"]):
        assert toxvpn("-C", tmp_path, *words).options.proxy == own
        assert toxvpn("-C", tmp_path, *words, "--proxy", str(typed)).options.proxy == typed


def test_verbs_that_only_look_do_not_read_it(toxvpn: Any, tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("not TOML")
    assert toxvpn("-C", tmp_path, "id").code == 0
    assert toxvpn("--config", tmp_path / "config.toml", "id").code == 2


# -- a client -------------------------------------------------------------------------------------


def test_a_client_takes_the_nodes_and_not_the_ports(toxvpn: Any, config: Path) -> None:
    """Those are taken by the run that stays."""
    ran = toxvpn("-C", config, "-i", str(BOX), "-p")
    assert ran.options == ClientOptions(
        directory=config,
        nodes_file=config / "nodes.json",
        udp_segmentation=False,
        lan_discovery=False,
        port_mapping=False,
        keep_streams=8 * 3600,
        server=BOX,
        ping=True,
    )


@pytest.mark.parametrize("name", ["box", "BOX", BOX.public_key.hex()])
def test_a_name_of_the_file(toxvpn: Any, config: Path, name: str) -> None:
    options = toxvpn("-C", config, "-i", name, "-L", "2222:localhost:22").options
    assert (options.server, options.secret) == (BOX, b"of the box")
    assert not options.kept, "who has the secret may call with any identity"
    assert options.may_use_run, "which has the same secret"


def test_a_secret_that_is_typed_goes_before_the_names(
    toxvpn: Any, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOXVPN_SHARED_SECRET", "typed")
    options = toxvpn("-C", config, "-i", "box", "-p").options
    assert (options.secret, options.may_use_run) == (b"typed", False)


def test_a_name_that_is_kept(toxvpn: Any, config: Path) -> None:
    kept = {
        NAS.public_key: ConfiguredPeer(NAS.public_key, NAS.nospam, "nas"),
        BOX.public_key: ConfiguredPeer(BOX.public_key, BOX.nospam, "old"),
    }
    peers.save(config, kept)
    assert toxvpn("-C", config, "-i", "nas", "-p").options.server == NAS
    assert toxvpn("-C", config, "-i", "box", "-p").options.server == BOX
    ran = toxvpn("-C", config, "-i", "old", "-p")
    assert ran.code == 4, "it has another name in the file"


@pytest.mark.parametrize(
    ("name", "code", "message"),
    [
        ("nobody", 4, "-i 'nobody' is not a Tox ID, nor a peer that is kept here"),
        ("half", 2, "only the public key is known of peer half"),
    ],
)
def test_names_that_cannot_be_called(toxvpn: Any, config: Path, name: str, code: int, message: str) -> None:
    ran = toxvpn("-C", config, "-i", name, "-p")
    assert (ran.code, ran.started) == (code, [])
    assert message in ran.err and len(ran.err.splitlines()) == 1


def test_a_secret_file_that_others_can_read(toxvpn: Any, config: Path) -> None:
    (config / "box.secret").chmod(0o644)
    ran = toxvpn("-C", config, "-i", "box", "-p")
    assert ran.code == 78 and "chmod 600" in ran.err
    assert toxvpn("-C", config, "config", "check").code == 78


@pytest.mark.parametrize("verb", [[], ["up"], ["run"], ["-i", "box", "-p"]])
def test_it_is_parsed_once(
    toxvpn: Any, config: Path, verb: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    parsed: list[Path] = []

    def parse(text: str, path: Path) -> Config:
        parsed.append(path)
        return real(text, path)

    real = file.parse
    monkeypatch.setattr(file, "parse", parse)
    needs(toxvpn("-C", config, *verb).options)
    assert parsed == [config / "config.toml"]


def test_a_file_that_may_not_be_looked_for_is_not_taken_for_missing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def denied(path: Path) -> bool:
        raise PermissionError(13, "Permission denied", str(path))

    assert not may_exist(tmp_path / "config.toml")
    monkeypatch.setattr(Path, "exists", denied)
    assert may_exist(tmp_path / "config.toml")
