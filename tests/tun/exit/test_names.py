"""A name server of the test's own answers on loopback, in a namespace."""

import socket
import subprocess
import threading
from pathlib import Path

import dns.message
import dns.rrset
import pytest

from toxvpn.testing.netns import have_namespaces, in_new_netns
from toxvpn.tun.exit import names as exitnames
from toxvpn.tun.exit.names import ask_beside, servers

MARK = 0x74


def test_servers_of_this_machine_are_not_asked(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    one.write_text("nameserver 127.0.0.53\nnameserver 192.168.1.1\n# nameserver 9.9.9.9\n")
    other.write_text("nameserver 192.168.1.1\nnameserver odd\nnameserver ::1\nnameserver fe80::1%eth0\n")
    assert servers([one, other, tmp_path / "missing"]) == ["192.168.1.1", "fe80::1%eth0"]


@pytest.mark.real
@pytest.mark.skipif(not have_namespaces(), reason="needs root")
def test_the_answer_to_a_marked_query(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The name server is reached with the mark alone."""
    monkeypatch.setattr(exitnames, "TIMEOUT_S", 0.3)
    file = tmp_path / "resolv.conf"
    file.write_text("nameserver 192.168.1.99\nnameserver 192.168.1.1\n")
    answers = {"A": ["192.0.2.7", "192.0.2.8"], "AAAA": ["2001:db8::7"]}

    def serve(sock: socket.socket) -> None:
        while True:
            data, source = sock.recvfrom(4096)
            query = dns.message.from_wire(data)
            reply = dns.message.make_response(query)
            record = query.question[0].rdtype.name
            reply.answer.append(
                dns.rrset.from_text(query.question[0].name, 60, "IN", record, *answers[record])
            )
            sock.sendto(reply.to_wire(), source)

    def scene() -> set[tuple[object, object]]:
        for line in (
            "link set lo up",
            "addr add 192.168.1.1/32 dev lo",
            f"rule add priority 10 not fwmark {MARK:#x} to 192.168.1.1 unreachable",
            "rule add priority 20 lookup local",
            "rule del priority 0",
        ):
            subprocess.run(["ip", *line.split()], check=True)
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, MARK)
        sock.bind(("192.168.1.1", 53))
        threading.Thread(target=serve, args=(sock,), daemon=True).start()
        found = ask_beside(MARK, "tox.example", socket.SOCK_DGRAM, [file])
        return {(family, address[0]) for family, _, _, _, address in found}

    assert in_new_netns(scene) == {
        (socket.AF_INET, "192.0.2.7"),
        (socket.AF_INET, "192.0.2.8"),
        (socket.AF_INET6, "2001:db8::7"),
    }


def test_where_no_server_answers_the_system_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, port, type: [(host, type)])
    assert ask_beside(MARK, "box", socket.SOCK_DGRAM, [tmp_path / "missing"]) == [("box", socket.SOCK_DGRAM)]
