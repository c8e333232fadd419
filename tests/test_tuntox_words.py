"""The script of docs/tuntox-flags.md says tuntox's words for what toxvpn logs today."""

import logging
import os
import re
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from toxvpn.cli import logs
from toxvpn.config.policy import policy
from toxvpn.report.welcome import print_server
from toxvpn.testing.fake_nodes import Network, until
from toxvpn.testing.options import server_options

DOCS = Path(__file__).parents[1] / "docs/tuntox-flags.md"


TOX_ID = "AB" * 38


@pytest.fixture
async def said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> AsyncIterator[str]:
    """The usual log of a server, and of a client whose request has been accepted."""
    log = logging.getLogger("toxvpn")
    before = list(log.handlers), log.level, log.propagate
    logs.set_up()
    config = server_options(directory=tmp_path).config
    print_server(config, policy(config, tmp_path), TOX_ID, tmp_path)
    network = Network()
    client, _ = network.pair()
    await until(lambda: any(peer.online for peer in client))
    network.close()
    yield capsys.readouterr().err
    log.handlers, log.level, log.propagate = before


def test_a_tox_id_and_an_accepted_request_are_told_as_tuntox_tells_them(said: str, tmp_path: Path) -> None:
    [script] = re.findall(r"```bash\n(.*?)```", DOCS.read_text(), re.DOTALL)
    (tmp_path / "said").write_text(said)
    toxvpn = 'echo "$@"; cat; cat "${0%/*}/said" >&2; echo "ERROR: another" >&2; exit 7'
    for name, text in (("tuntox", script), ("toxvpn", f"#!/bin/sh\n{toxvpn}\n")):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    ran = subprocess.run(
        [tmp_path / "tuntox", "-i", "two words"],
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}"},
        input=b"INFO: peer 12345678: udp\n\0\xff",
        capture_output=True,
        check=False,
        timeout=30,
    )
    assert (ran.returncode, ran.stdout) == (7, b"-i two words\nINFO: peer 12345678: udp\n\0\xff")
    lines = ran.stderr.decode().splitlines()
    assert f"Using Tox ID: {TOX_ID}" in lines
    assert any(re.match(r"Friend request accepted \((udp|tcp-relay)\)!$", line) for line in lines)
    assert "ERROR: another" in lines
