"""Which of root's rights a run keeps."""

import os
from pathlib import Path

import pytest

from toxvpn.config.flags import UserNetwork
from toxvpn.config.options import ClientOptions, NodeOptions
from toxvpn.linux import Capability
from toxvpn.process import needs as needs_module
from toxvpn.process.needs import OVER_FILES, needs
from toxvpn.tcpforward.spec import parse_forward, parse_listen
from toxvpn.testing.options import run_options, server_options, up_options
from toxvpn.wire.toxid import ToxId

ID = ToxId(bytes(range(32)), bytes(4))
ADMIN, BIND = Capability.NET_ADMIN, Capability.NET_BIND_SERVICE
PEER = f'[peers.p]\nid = "{ID}"\n'
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, for two users")


@pytest.fixture(autouse=True)
def _files_are_roots(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    if "others" not in request.node.name:
        monkeypatch.setattr(needs_module, "is_others", lambda path: False)


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        (server_options(), set()),
        (server_options(tcp_port=443), {BIND}),
        (server_options(tcp_port=0, udp_ports=(33445, 33545)), set()),
        (server_options(udp_ports=(443, 443)), {BIND}),
        (server_options(metrics_port=100), {BIND}),
        (up_options(), {ADMIN, BIND}),
        (up_options(user_network=UserNetwork()), {Capability.SETFCAP}),
        (ClientOptions(server=ID, forwards=(parse_forward("80:localhost:80"),)), {BIND}),
        (ClientOptions(server=ID, socks=(parse_listen("1080"),)), set()),
    ],
)
def test_flags(options: NodeOptions, kept: set[Capability]) -> None:
    assert needs(options) == kept


FORWARD = f'{PEER}[[forwards]]\npeer = "p"\nlisten = "%d"\ntarget = "localhost:80"\n'


@pytest.mark.parametrize(
    ("text", "server", "run"),
    [
        ("[server]\n", set(), set()),
        ("[vpn]\n", set(), {ADMIN, BIND}),
        ('[vpn]\nname = ""\n', set(), {ADMIN}),
        (FORWARD % 80, set(), {BIND}),
        (FORWARD % 8080, set(), set()),
        ('[server]\nallow_listen = ["8080", "*:*"]\n', set(), set()),
        ('[server]\nallow_listen = ["443"]\n', {BIND}, {BIND}),
        (f'[server]\n{PEER}allow_listen = ["*:443"]\n', {BIND}, {BIND}),
    ],
)
def test_each_kind_of_run_its_part_of_the_file(
    tmp_path: Path, text: str, server: set[Capability], run: set[Capability]
) -> None:
    path = tmp_path / "config.toml"
    path.write_text(text)
    assert needs(server_options(config_file=path)) == server
    assert needs(run_options(config_file=path)) == run


@as_root
class TestFilesOfOthers:
    @pytest.fixture
    def home(self, tmp_path: Path) -> Path:
        (tmp_path / "home").mkdir()
        os.chown(tmp_path / "home", 4242, 4242)
        return tmp_path / "home"

    def test_in_roots_own_directory_none_are_kept_for_others(self, tmp_path: Path) -> None:
        assert needs(server_options(directory=tmp_path)) == set()
        assert needs(server_options(directory=tmp_path / "not" / "yet")) == set()

    def test_in_a_directory_of_others(self, home: Path) -> None:
        for directory in (home, home / "new"):
            assert needs(server_options(directory=directory)) == OVER_FILES
            assert needs(up_options(directory=directory)) == {ADMIN, BIND, *OVER_FILES}

    def test_with_a_link_to_one_of_others(self, tmp_path: Path, home: Path) -> None:
        (tmp_path / "link").symlink_to(home)
        assert needs(server_options(directory=tmp_path / "link")) == OVER_FILES

    def test_with_a_file_of_others(self, tmp_path: Path, home: Path) -> None:
        (home / "rules").touch()
        assert needs(server_options(directory=tmp_path, rules_file=home / "rules")) == OVER_FILES
        assert needs(server_options(directory=tmp_path, pid_file=home / "pid")) == OVER_FILES

    def test_with_a_secret_of_others(self, tmp_path: Path, home: Path) -> None:
        path = tmp_path / "config.toml"
        path.write_text(f'[server]\nsecret_file = "{home}/secret"\n')
        assert needs(server_options(directory=tmp_path, config_file=path)) == OVER_FILES

    def test_another_user_has_no_rights_over_files_of_others(self, home: Path) -> None:
        assert needs(server_options(directory=home, user="nobody")) == set()
