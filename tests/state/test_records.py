"""The times in records: those that could not be written again, or shown, make an entry a damaged one."""

import json

import pytest

from toxvpn.members import blocked, friends, invites
from toxvpn.state.records import LATEST_S, LeftOut, moment
from toxvpn.tox.reach import met

KEY = "AB" * 31 + "0B"


@pytest.mark.parametrize("seconds", [0, 1.5, LATEST_S])
def test_a_time(seconds: float) -> None:
    assert moment(seconds) == seconds


@pytest.mark.parametrize(
    "value", ["NaN", "1e999", "-Infinity", "-1", f"{LATEST_S + 1}", "1" + 400 * "0", "true", '"1"', "null"]
)
def test_no_time(value: str) -> None:
    with pytest.raises(ValueError, match="is not a time"):
        moment(json.loads(value))


def test_an_entry_with_no_time_is_left_out() -> None:
    left_out: LeftOut = []
    entry = f'{{"by": "secret", "since": NaN, "last_online": 1, "public_key": "{KEY}", "name": null}}'
    invite = f'{{"digest": "{"ab" * 32}", "made": 1, "expires": 1e999, "name": null, "used_by": null}}'
    seen = f'{{"dht_key": "{KEY}", "places": [], "relays": [], "seen": NaN}}'
    salt = "ab" * friends.SALT_BYTES
    assert not friends.decode(
        f'{{"schema": 1, "salt": "{salt}", "friends": {{"{KEY}": {entry}}}}}'.encode(), left_out
    ).friends
    assert not blocked.decode(f'{{"schema": 1, "blocked": [{entry}]}}'.encode(), left_out)
    assert not list(invites.decode(f'{{"schema": 1, "invites": [{invite}]}}'.encode(), left_out))
    assert not met.decode(f'{{"schema": 1, "peers": {{"{KEY}": {seen}}}}}'.encode(), left_out)
    assert len(left_out) == 4
    assert all("is not a time" in line for line in left_out)
