"""The servers that tests and demonstrations reach through tunnels work without one."""

import socket
import sys
from pathlib import Path

import pytest

from lab import Lab, LabError
from lab.apps import echo_server, http_server, iperf3, iperf3_server, listening_ports, sshd, wait_listening
from lab.require import require

FETCH = "import sys, urllib.request; sys.stdout.write(urllib.request.urlopen(sys.argv[1]).read().decode())"


def test_sshd_lets_its_key_in(lab: Lab) -> None:
    require("sshd", "ssh", "ssh-keygen")
    a, b = lab.host("a"), lab.host("b")
    server = sshd(b, port=2222)
    said = a.run(server.client("-p", "2222", f"root@{b.ipv4}", "echo $SSH_CONNECTION")).stdout.split()
    assert said[0] == a.ipv4 and said[2:] == [b.ipv4, "2222"]
    stranger = server.client("-p", "2222", f"root@{b.ipv4}", "true")
    stranger[stranger.index("-i") + 1] = "/dev/null"
    assert a.run(stranger, check=False).returncode == 255


def test_iperf3_measures_both_ways(lab: Lab) -> None:
    require("iperf3")
    a, b = lab.host("a"), lab.host("b")
    iperf3_server(b, port=6000)
    for reverse in (False, True):
        assert iperf3(a, str(b.ipv4), 6000, seconds=1, reverse=reverse, streams=2) > 100


def test_the_http_server_serves_files(lab: Lab, tmp_path: Path) -> None:
    a, b = lab.host("a"), lab.host("b")
    tmp_path.joinpath("file").write_text("served")
    http_server(b, tmp_path, bind=b.ipv4)
    assert a.run([sys.executable, "-c", FETCH, f"http://{b.ipv4}:8000/file"]).stdout == "served"


@pytest.mark.parametrize("bind", [None, "127.0.0.1", "::1"])
def test_the_echo_server_echoes_to_the_end(lab: Lab, bind: str | None) -> None:
    host = lab.host("a")
    echo_server(host, bind=bind)
    sent = bytes(range(256)) * 100
    with host.connect(bind or "127.0.0.1", 7) as client, host.connect(bind or str(host.ipv6), 7) as idle:
        client.sendall(sent)
        client.shutdown(socket.SHUT_WR)
        with client.makefile("rb") as stream:
            assert stream.read() == sent
        idle.sendall(b"still there")
        assert idle.recv(100) == b"still there"


def test_a_server_that_cannot_start_says_why(lab: Lab) -> None:
    host = lab.host("a")
    server = echo_server(host)
    assert listening_ports(server.pid) == {7}
    with pytest.raises(LabError, match=r"(?s)ended before it listened.*Cannot assign requested address"):
        echo_server(host, port=8, bind="192.0.2.77")
    with pytest.raises(LabError, match="no listener on port 99"):
        wait_listening(server, 99, timeout_s=0.1)
