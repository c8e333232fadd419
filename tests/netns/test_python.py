"""The examples of docs/python.md do what they say, between two hosts: with toxvpn, and with each other."""

import subprocess
import sys
from pathlib import Path

from forwards import SECRET, USER, WITH_SECRET, Server, private_directory
from postgres import postgres

from lab import Host, Lab
from lab.apps import http_server

EXAMPLES = Path(__file__).parents[2] / "docs/examples"
CONNECTING_S = 60.0
RUN = """
import functools, logging, runpy, sys, toxvpn
logging.basicConfig(level=logging.INFO)
sys.argv.pop(0)
toxvpn.node = functools.partial(toxvpn.node, nodes_file=sys.argv.pop(0))
runpy.run_path(sys.argv[0], run_name="__main__")
"""
"""Runs an example unchanged, but with the lab's bootstrap nodes, and its log on stderr."""
FAST = "streams take the fast road"


def start(lab: Lab, host: Host, example: str, *arguments: str, **env: str) -> "subprocess.Popen[bytes]":
    argv = [sys.executable, "-c", RUN, str(lab.nodes_json), str(EXAMPLES / example), *arguments]
    return host.popen(argv, user=USER, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def output(host: Host, process: "subprocess.Popen[bytes]") -> str:
    """What it printed, to its end; it took the fast road."""
    said, log = process.communicate(timeout=CONNECTING_S)
    host.stop(process)
    assert process.returncode == 0 and FAST in log.decode(), log.decode()
    return said.decode()


def test_the_examples(tox_network: Lab, tmp_path: Path) -> None:
    """All at once: connecting takes most of the time."""
    lab = tox_network
    box, laptop = lab.nat("office").host("box"), lab.nat("cafe").host("laptop")
    serving = start(lab, box, "serve.py")
    server = Server(lab, box, private_directory(box, "server"), env=WITH_SECRET)
    postgres(box)
    tmp_path.joinpath("page").write_text("a page of the box\n")
    http_server(box, tmp_path, bind="127.0.0.1")
    secret = {"TOXVPN_SHARED_SECRET": SECRET}
    fetching = start(lab, laptop, "fetch.py", server.tox_id, "http://localhost:8000/page", **secret)
    query = "select i, i * i from generate_series(6, 7) as i"
    asking = start(lab, laptop, "query.py", server.tox_id, query, **secret)

    assert serving.stdout
    line = serving.stdout.readline().decode().split()
    name, _, its_secret = line[0].partition("=")
    calling = start(lab, laptop, *line[2:], **{name: its_secret})

    assert output(laptop, fetching) == "a page of the box\n"
    assert output(laptop, asking) == "6 36\n7 49\n"
    first, second = output(laptop, calling).splitlines()
    assert (first[:8], second) == ("you are ", "HELLO")
    come = next(each for each in serving.stdout if each.startswith(b"PeerEvent"))
    assert come.decode().startswith(f"PeerEvent(peer=<Peer {first[8:16]} ")
    box.stop(serving)
