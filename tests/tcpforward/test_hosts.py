from pathlib import Path

from toxvpn.tcpforward.hosts import MAX_BYTES, Hosts

TEXT = """\
# 10.0.0.9 commented
127.0.0.1\tlocalhost
::1 localhost ip6-localhost  # both
10.0.0.1 Box box.lan
10.0.0.2 box
nonsense box
300.0.0.1 wrong

192.0.2.1
"""


def test_names_have_all_their_addresses_the_ipv6_ones_first(tmp_path: Path) -> None:
    path = tmp_path / "hosts"
    path.write_text(TEXT)
    hosts = Hosts(path)
    assert hosts.addresses("LOCALHOST") == ["::1", "127.0.0.1"]
    assert hosts.addresses("ip6-localhost") == ["::1"]
    assert hosts.addresses("bOx") == ["10.0.0.1", "10.0.0.2"]
    assert hosts.addresses("box.lan") == ["10.0.0.1"]
    assert not any(map(hosts.addresses, ("commented", "wrong", "192.0.2.1", "both", "elsewhere")))


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "hosts"
    hosts = Hosts(path)
    assert hosts.addresses("box") == []
    path.write_text("10.0.0.1 box\n")
    assert hosts.addresses("box") == ["10.0.0.1"]
    path.write_text("10.0.0.22 box\n")
    assert hosts.addresses("box") == ["10.0.0.22"]
    path.unlink()
    assert hosts.addresses("box") == []


def test_localhost_is_known_without_the_file(tmp_path: Path) -> None:
    assert Hosts(tmp_path / "none").addresses("localhost") == ["::1", "127.0.0.1"]


def test_a_huge_list_is_left_to_the_resolver(tmp_path: Path) -> None:
    path = tmp_path / "hosts"
    path.write_text("0.0.0.0 tracker.example\n" * (MAX_BYTES // 20))
    assert Hosts(path).addresses("tracker.example") == []


def test_bytes_that_are_no_text_hurt_nobody(tmp_path: Path) -> None:
    path = tmp_path / "hosts"
    path.write_bytes(b"10.0.0.1 box\n\xff\xfe \x00\n")
    assert Hosts(path).addresses("box") == ["10.0.0.1"]
