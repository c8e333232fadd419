import os
import subprocess
from collections.abc import Iterator

import pytest

from toxvpn.tun.heal.notices import Notice
from toxvpn.tun.heal.programs import REMEMBERED_S, UNKNOWN, Culprits, likely_program, named_by

NOBODY = 1 << 22  # no process has this ID: PID_MAX_LIMIT
OF_NO_PROCESS = 0xFFFF_F000


@pytest.fixture
def cat() -> Iterator[int]:
    """A running program."""
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin and process.stdout
        process.stdin.write(b"\n")
        process.stdin.flush()
        assert process.stdout.read(1) == b"\n"
        yield process.pid
        process.kill()


def test_a_port_that_is_a_process_id_names_program_and_parent(cat: int) -> None:
    name = named_by(cat)
    assert name.startswith(f"cat (process {cat}, started by ")
    assert named_by(cat | 3 << 22) == name, "as libnl and pyroute2 make their ports"


def test_what_has_ended_and_what_cannot_be_known_are_said_so(monkeypatch: pytest.MonkeyPatch) -> None:
    assert named_by(NOBODY - 1) == f"a program that has ended (process {NOBODY - 1})"
    monkeypatch.setattr("toxvpn.tun.heal.programs.INIT", NOBODY)  # as where /proc hides others
    assert named_by(NOBODY - 1) == f"process {NOBODY - 1} ('ps -p {NOBODY - 1}' tells which that is)"
    monkeypatch.setattr("toxvpn.tun.heal.programs._MANAGERS", ())
    assert (named_by(OF_NO_PROCESS), named_by(0), likely_program()) == ("", "", "")


def test_a_manager_that_runs_is_the_likely_one(cat: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("toxvpn.tun.heal.programs._MANAGERS", ("none", "cat"))
    assert likely_program().startswith("probably cat (process ")


class Scene:
    def __init__(self) -> None:
        self.now_s = 0.0
        self.culprits = Culprits(
            lambda port: f"program {port}" if port < NOBODY else "",
            lambda: "probably somebody",
            lambda: self.now_s,
        )

    def after(self, *found: tuple[str, int]) -> Culprits:
        for kind, port in found:
            self.culprits.note(Notice(kind, port))
        return self.culprits


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_the_last_one_of_each_kind_is_remembered_until_it_is_told(scene: Scene) -> None:
    culprits = scene.after(("route", 1), ("route", 2), ("address", 3), ("link", 2))
    assert culprits.take({"route", "address"}) == "program 3 and program 2"
    assert culprits.take({"route"}) == UNKNOWN


def test_who_set_the_link_down_took_everything(scene: Scene) -> None:
    assert scene.after(("link", 2)).take({"route", "address"}) == "program 2"


def test_a_guess_counts_only_where_nothing_is_known(scene: Scene) -> None:
    assert scene.after(("address", OF_NO_PROCESS), ("route", 2)).take({"route", "address"}) == "program 2"
    assert scene.after(("address", OF_NO_PROCESS)).take({"address"}) == "probably somebody"


def test_what_was_long_ago_explains_nothing(scene: Scene) -> None:
    culprits = scene.after(("link", 2))
    scene.now_s = REMEMBERED_S + 1
    assert culprits.take({"route"}) == UNKNOWN


def test_we_ourselves_are_passed_over() -> None:
    culprits = Culprits(likely=lambda: "")
    for port in (0, os.getpid(), os.getpid() | 5 << 22):
        culprits.note(Notice("route", port))
    culprits.note(Notice("nft-table", os.getpid(), "toxvpn"))
    assert culprits.take({"route", "nft-table"}) == UNKNOWN


def test_a_name_that_the_kernel_tells_is_cleaned() -> None:
    """Process 7 is called otherwise: the number is one of another PID namespace."""
    culprits = Culprits()
    culprits.note(Notice("nft-table", 7, "evil\x1b[2J\nname"))
    assert culprits.take({"nft-table"}) == "evil\ufffd[2J\ufffdname"
