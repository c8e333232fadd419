"""`toxvpn secret renew`: with a running toxvpn, and without."""

import sys
from pathlib import Path
from typing import Any

import pytest

from toxvpn.members import friends
from toxvpn.state import secretfile
from toxvpn.testing.fake_daemon import FakeDaemon

ANSWER = {"shown": "TOXVPN_SHARED_SECRET=new toxvpn -i ID", "hidden": "toxvpn -i ID --secret-file FILE"}


def test_the_running_one_makes_it(toxvpn: Any, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with FakeDaemon(here, {"secret-renew": ANSWER}):
        ran = toxvpn("secret", "renew", "-C", here)
        assert (ran.code, ran.out) == (0, ANSWER["hidden"] + "\n")
        assert "machines that used the old one need the new one" in ran.err
        monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
        assert toxvpn("secret", "renew", "-C", here).out == ANSWER["shown"] + "\n"


def test_without_one_it_is_made_for_the_next_start(toxvpn: Any, here: Path) -> None:
    here.mkdir()
    toxvpn("id", "-C", here)
    old = secretfile.new_secret(here)
    friends.save(here, friends.FriendBook(secret_is_out=True))
    ran = toxvpn("secret", "renew", "-C", here)
    new, made = secretfile.kept_secret(here)
    assert (ran.code, made) == (0, False) and new != old
    assert str(here / "secret") in ran.out and new.decode() not in ran.out + ran.err
    assert not friends.load(here).secret_is_out


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ('[server]\nsecret_file = "mine"', "put another one into {here}/mine"),
        ("[server]\nopen = true", "no secret is in use here"),
    ],
)
def test_a_secret_of_somebody_elses_making(toxvpn: Any, here: Path, config: str, message: str) -> None:
    here.mkdir()
    (here / "config.toml").write_text(config)
    ran = toxvpn("secret", "renew", "-C", here)
    assert ran.code == 2 and message.format(here=here) in ran.err
    assert not (here / "secret").exists()
