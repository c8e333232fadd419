import json
import stat
from pathlib import Path

import pytest

from toxvpn.members.blocked import Blocked, load, save

ALICE, BOB = (bytes([number]) * 31 + b"\1" for number in (0xA1, 0xB0))
WHO = {ALICE: Blocked(ALICE, 1_800_000_000, "alice"), BOB: Blocked(BOB, 1_800_000_001)}


def test_the_file(tmp_path: Path) -> None:
    assert load(tmp_path) == {}
    save(tmp_path, WHO)
    assert load(tmp_path) == WHO
    assert stat.S_IMODE((tmp_path / "blocked.json").stat().st_mode) == 0o600


@pytest.mark.parametrize("entry", [None, {}, {"public_key": "A1", "since": 1, "name": None}])
def test_a_damaged_entry_unblocks_nobody_else(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, entry: object
) -> None:
    save(tmp_path, WHO)
    path = tmp_path / "blocked.json"
    document = json.loads(path.read_text())
    document["blocked"].insert(1, entry)
    path.write_text(json.dumps(document))
    assert load(tmp_path) == WHO
    assert "it is left out" in caplog.text
